-- Claim, second statement: reads what the worker needs to run its row.
-- Differs because SQLite has no intervals and cannot return columns of a joined table.
-- Parameters: $1 execution id.
-- Result: the claimed row, with `uncharged`, the number of attempts that ended by a shutdown.
SELECT e.id, e.job_id, j.name, j.job_type, e.payload, e.scheduled_for, e.attempt,
       e.started_at, e.lease_until, e.deadline_at,
       j.max_attempts, j.retry_base_seconds, j.orphan_policy, j.failing_since IS NOT NULL AS job_fails,
       CASE WHEN e.attempt = 1 THEN 0 ELSE (
           SELECT count(*)
           FROM polychron_job_execution p
           WHERE p.job_id = e.job_id AND p.scheduled_for = e.scheduled_for AND p.error_kind = 'shutdown'
       ) END AS uncharged
FROM polychron_job_execution e
JOIN polychron_job j ON j.id = e.job_id
WHERE e.id = $1
