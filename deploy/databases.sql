-- One database for the list of tenants, and one for each sample tenant.
CREATE DATABASE polychron;
CREATE DATABASE acme;
CREATE DATABASE initech;
