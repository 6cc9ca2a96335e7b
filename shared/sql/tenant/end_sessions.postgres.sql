-- Ends the sessions that an execution's handler left open, and whatever runs in them.
-- Differs because SQLite has no server: a statement ends when its connection interrupts it.
-- Parameters: $1 the sessions' application_name.
-- Result: how many were ended.
SELECT count(pg_terminate_backend(pid))
FROM pg_stat_activity
WHERE application_name = $1
  AND usename = current_user
  AND pid <> pg_backend_pid()
