-- Executions of the status $2 among the $3 newest before $1: to look for few among many must not read a
-- whole history. $4: how many of them at most.
SELECT e.id, e.job_id, j.name AS job_name, e.scheduled_for, e.trigger, e.attempt, e.status, e.available_at,
       e.dispatched_at, e.published_at, e.publish_count, e.started_at, e.finished_at, e.lease_until, e.deadline_at,
       e.worker, e.cancel_requested, e.job_version, CAST(e.payload AS text) AS payload, e.error_kind,
       e.error_message, e.error_detail, CAST(e.result AS text) AS result, e.output, CAST(e.progress AS text) AS progress,
       e.stands_for
FROM (SELECT * FROM job_execution WHERE id < $1 ORDER BY id DESC LIMIT $3) e
LEFT JOIN job j ON j.id = e.job_id
WHERE e.status = $2
ORDER BY e.id DESC LIMIT $4
