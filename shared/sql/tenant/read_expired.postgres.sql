-- Reads running rows whose lease has ended: their worker died, hangs or is cut off. Not in the order
-- of ids, which would lead SQLite through the whole history. A row that another session has locked is left
-- out: ending it would wait for that session, and with it the other rows.
-- Differs because SQLite reads rows in our memory: huge ones are skipped.
-- Parameters: $1 the lease ended before, $2 most rows.
-- Result: the rows and what decides their next attempt, with `uncharged`, the number of attempts that
--   ended by a shutdown; a row of a deleted job gets no next attempt.
SELECT e.id, e.job_id,
       CASE WHEN octet_length(e.worker) > 400 THEN '(too long)' ELSE e.worker END AS worker,
       e.attempt, e.scheduled_for, e.started_at, e.lease_until, e.deadline_at,
       coalesce(CASE WHEN octet_length(j.name) <= 800 THEN j.name END, '') AS name,
       coalesce(j.max_attempts, 1) AS max_attempts,
       coalesce(j.retry_base_seconds, 0) AS retry_base_seconds,
       coalesce(CASE WHEN octet_length(j.orphan_policy) <= 20 THEN j.orphan_policy END, 'fail')
           AS orphan_policy,
       (SELECT count(*)
        FROM polychron_job_execution p
        WHERE p.job_id = e.job_id
          AND p.scheduled_for = e.scheduled_for
          AND p.error_kind = 'shutdown') AS uncharged
FROM polychron_job_execution e
LEFT JOIN polychron_job j ON j.id = e.job_id
WHERE e.finished_at IS NULL
  AND e.status = 'running'
  AND e.lease_until < $1
ORDER BY e.lease_until, e.id
LIMIT $2
FOR NO KEY UPDATE OF e SKIP LOCKED
