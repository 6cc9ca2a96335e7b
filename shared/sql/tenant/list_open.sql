-- Executions that are not over, newest first, a page before $1; each other filter may be null. There
-- are never many, and the index on what is open finds them.
SELECT e.id, e.job_id, j.name AS job_name, e.scheduled_for, e.trigger, e.attempt, e.status, e.available_at,
       e.dispatched_at, e.published_at, e.publish_count, e.started_at, e.finished_at, e.lease_until, e.deadline_at,
       e.worker, e.cancel_requested, e.job_version, CAST(e.payload AS text) AS payload, e.error_kind,
       e.error_message, e.error_detail, CAST(e.result AS text) AS result, e.output, CAST(e.progress AS text) AS progress,
       e.stands_for
FROM polychron_job_execution e LEFT JOIN polychron_job j ON j.id = e.job_id
WHERE e.finished_at IS NULL AND e.id < $1 AND (j.name = $2 OR $2 IS NULL) AND (e.status = $3 OR $3 IS NULL)
ORDER BY e.id DESC LIMIT $4
