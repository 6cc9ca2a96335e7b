-- What time it is at the server, since when it runs, and by what number it knows this database.
-- Differs because an SQLite file has no other clock than the machine's, which is read directly.
SELECT clock_timestamp(), pg_postmaster_start_time(),
       (SELECT oid::bigint FROM pg_database WHERE datname = current_database())
