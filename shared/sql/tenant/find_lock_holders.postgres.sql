-- Finds the sessions that have locked rows of jobs. A locked row names the transaction that has locked it,
-- and every transaction holds a lock on its own id.
-- Differs because SQLite locks whole files, and does not know for whom.
-- Parameters: $1 job ids.
-- Result: of each such row its job, and the session; no process id: a prepared transaction.
SELECT j.id AS job_id,
       CASE WHEN octet_length(j.name) <= 800 THEN j.name ELSE '(too long)' END AS name,
       l.pid,
       "left"(a.application_name, 100) AS application,
       a.state,
       a.xact_start AS since,
       "left"(a.query, 1000) AS query
FROM polychron_job j
JOIN pg_locks l ON l.transactionid = j.xmax
LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'transactionid'
  AND l.granted
  AND j.id = ANY($1::bigint[])
ORDER BY l.pid, j.id
LIMIT 1000
