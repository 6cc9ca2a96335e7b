-- Finds the sessions that have locked the row of a job together with others. Such a row names a multixact. A
-- row that names a transaction makes this statement fail, unless that id is also one of a multixact.
-- Differs because SQLite locks whole files, and does not know for whom.
-- Parameters: $1 job id.
-- Result: its job, and the sessions; no process id: a prepared transaction.
SELECT j.id AS job_id,
       CASE WHEN octet_length(j.name) <= 800 THEN j.name ELSE '(too long)' END AS name,
       l.pid,
       "left"(a.application_name, 100) AS application,
       a.state,
       a.xact_start AS since,
       "left"(a.query, 1000) AS query
FROM polychron_job j
CROSS JOIN LATERAL pg_get_multixact_members(j.xmax) m
JOIN pg_locks l ON l.transactionid = m.xid
LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'transactionid'
  AND l.granted
  AND j.id = $1
ORDER BY l.pid, j.id
LIMIT 1000
