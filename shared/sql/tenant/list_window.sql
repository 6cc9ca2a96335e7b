-- Executions of the status $2 among the $3 newest before $1: to look for few among many must not read a
-- whole history. $4: how many of them at most.
SELECT s.id, s.job_id, j.name AS job_name, s.scheduled_for, s.trigger, s.attempt, s.status, s.available_at,
       s.dispatched_at, s.published_at, s.publish_count, s.started_at, s.finished_at, s.lease_until, s.deadline_at,
       s.worker, s.cancel_requested, s.job_version, CAST(s.payload AS text) AS payload, s.error_kind,
       s.error_message, s.error_detail, CAST(s.result AS text) AS result, s.output, CAST(s.progress AS text) AS progress,
       s.stands_for
FROM (SELECT * FROM polychron_job_execution WHERE id < $1 ORDER BY id DESC LIMIT $3) s
LEFT JOIN polychron_job j ON j.id = s.job_id
WHERE s.status = $2
ORDER BY s.id DESC LIMIT $4
