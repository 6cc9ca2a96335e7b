-- Finds the sessions that keep others from our tables: those that have locked one in a strong mode, those
-- that wait to do so, behind which all others wait, and those that these wait for.
-- Differs because SQLite locks whole files, and does not know for whom.
-- Result: of each such session the table.
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
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.pid <> pg_backend_pid()
  AND l.relation IN (
      'polychron_job'::regclass::oid, 'polychron_job_execution'::regclass::oid,
      'polychron_identity'::regclass::oid
  )
  AND (l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
       OR l.pid IN (
           SELECT pg_catalog.unnest(pg_blocking_pids(w.pid))
           FROM pg_locks w
           WHERE w.relation = l.relation AND w.mode = 'AccessExclusiveLock' AND NOT w.granted
       ))
ORDER BY l.granted DESC, l.pid
LIMIT 10
