-- How many rows were ever written in each database of the server, by its statistics. Nothing, if it
-- keeps none. It is asked here, because the numbers of all databases can be read in any of them.
-- Differs because an SQLite file's size and modification time tell as much.
SELECT pg_postmaster_start_time(), oid::bigint,
       pg_stat_get_db_tuples_inserted(oid) + pg_stat_get_db_tuples_updated(oid) + pg_stat_get_db_tuples_deleted(oid),
       pg_stat_get_db_stat_reset_time(oid)
FROM pg_database
WHERE current_setting('track_counts')::boolean
