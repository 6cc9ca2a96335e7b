-- Reads from the server's statistics how many rows were ever written in each of its databases. Any
-- database can be asked.
-- Differs because an SQLite file's size and modification time tell as much.
-- Result: the server's start, then for each database its oid, its count of written rows, and when its
--   statistics were reset; no rows: the server keeps no statistics.
SELECT pg_postmaster_start_time(),
       oid::bigint,
       pg_stat_get_db_tuples_inserted(oid)
           + pg_stat_get_db_tuples_updated(oid)
           + pg_stat_get_db_tuples_deleted(oid),
       pg_stat_get_db_stat_reset_time(oid)
FROM pg_database
WHERE current_setting('track_counts')::boolean
