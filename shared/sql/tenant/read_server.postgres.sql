-- Reads the server's clock, and which database this is.
-- Differs because an SQLite file has no clock but the machine's, which is read directly.
-- Result: the time, when the server started, and the database's oid.
SELECT clock_timestamp(),
       pg_postmaster_start_time(),
       (SELECT oid::bigint FROM pg_database WHERE datname = current_database())
