-- Claim, second statement: reads what the worker needs to run its row.
-- Differs because SQLite has no intervals and cannot return columns of a joined table.
-- Parameters: $1 execution id.
-- Result: the claimed row, without a payload that is too long, and with `uncharged`, the number of
--   attempts that ended by a shutdown.
SELECT e.id, e.job_id,
       CASE WHEN octet_length(j.name) > 800 THEN '(too long)' ELSE j.name END AS name,
       CASE WHEN octet_length(j.job_type) > 400 THEN '(too long)' ELSE j.job_type END AS job_type,
       CASE WHEN octet_length(e.payload) <= 65536 THEN e.payload END AS payload,
       e.scheduled_for, e.attempt,
       e.started_at, e.lease_until, e.deadline_at,
       j.max_attempts, j.retry_base_seconds,
       CASE WHEN octet_length(j.orphan_policy) > 20 THEN 'fail' ELSE j.orphan_policy END AS orphan_policy,
       j.failing_since IS NOT NULL AS job_is_failing,
       CASE WHEN e.attempt = 1 THEN 0 ELSE (
           SELECT count(*)
           FROM polychron_job_execution p
           WHERE p.job_id = e.job_id AND p.scheduled_for = e.scheduled_for AND p.error_kind = 'shutdown'
       ) END AS uncharged
FROM polychron_job_execution e
JOIN polychron_job j ON j.id = e.job_id
WHERE e.id = $1
