-- The control database, and one database for each sample tenant.
CREATE DATABASE polychron;
CREATE DATABASE acme;
CREATE DATABASE initech;
