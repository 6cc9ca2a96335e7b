-- The latest attempt at the occurrence that an execution belongs to. A next attempt is born in the
-- same move that ends the one before, so when this one is final, the occurrence is over.
SELECT e.id, e.job_id, j.name AS job_name, e.scheduled_for, e.trigger, e.attempt, e.status, e.available_at,
       e.dispatched_at, e.published_at, e.publish_count, e.started_at, e.finished_at, e.lease_until, e.deadline_at,
       e.worker, e.cancel_requested, e.job_version, CAST(e.payload AS text) AS payload, e.error_kind,
       e.error_message, e.error_detail, CAST(e.result AS text) AS result, e.output, CAST(e.progress AS text) AS progress,
       e.stands_for
FROM polychron_job_execution o
JOIN polychron_job_execution e ON e.job_id = o.job_id AND e.scheduled_for = o.scheduled_for
LEFT JOIN polychron_job j ON j.id = e.job_id
WHERE o.id = $1
ORDER BY e.attempt DESC LIMIT 1
