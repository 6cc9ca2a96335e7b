-- Ends the sessions that an execution's handler left behind, with whatever runs in them.
-- Differs because SQLite has no server: there a statement ends when its connection's owner says so.
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE application_name = $1 AND usename = current_user AND pid <> pg_backend_pid()
