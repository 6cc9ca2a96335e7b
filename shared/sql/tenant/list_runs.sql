-- The executions of the job $1, the latest occurrence first, a page before the execution $2, which may
-- be null; a filter by status may be null, too.
SELECT e.id, e.job_id, j.name AS job_name, e.scheduled_for, e.trigger, e.attempt, e.status, e.available_at,
       e.dispatched_at, e.published_at, e.publish_count, e.started_at, e.finished_at, e.lease_until, e.deadline_at,
       e.worker, e.cancel_requested, e.job_version, CAST(e.payload AS text) AS payload, e.error_kind,
       e.error_message, e.error_detail, CAST(e.result AS text) AS result, e.output, CAST(e.progress AS text) AS progress,
       e.stands_for
FROM job_execution e LEFT JOIN job j ON j.id = e.job_id
WHERE e.job_id = $1
  AND ((e.scheduled_for, e.attempt) < (SELECT scheduled_for, attempt FROM job_execution WHERE id = $2) OR $2 IS NULL)
  AND (e.status = $3 OR $3 IS NULL)
ORDER BY e.scheduled_for DESC, e.attempt DESC LIMIT $4
