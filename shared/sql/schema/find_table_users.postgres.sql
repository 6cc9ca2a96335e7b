-- Finds the sessions whose transactions have used one of our tables for over a second: a migration waits for
-- them.
-- Differs because SQLite locks whole files, and does not know for whom.
-- Result: of each such session the table, the longest transaction first; no process id: a prepared
--   transaction.
SELECT c.relname::text AS name,
       l.pid,
       "left"(a.application_name, 100) AS application,
       a.state,
       a.xact_start AS since,
       "left"(a.query, 1000) AS query
FROM pg_locks l
JOIN pg_class c ON c.oid = l.relation
LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'relation'
  AND l.granted
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.pid IS DISTINCT FROM pg_backend_pid()
  AND c.relkind = 'r'
  AND (pg_catalog.starts_with(c.relname::text, 'polychron_')
       OR c.relname IN ('job', 'job_execution', 'tenant'))
  AND coalesce(a.xact_start < now() - '1 second'::interval, true)
ORDER BY a.xact_start, l.pid, c.relname
LIMIT 10
