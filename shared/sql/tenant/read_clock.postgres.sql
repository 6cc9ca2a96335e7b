-- The server's time.
-- Differs because an SQLite file has no other clock than the machine's, which is read directly.
SELECT clock_timestamp()
