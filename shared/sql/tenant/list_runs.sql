-- The executions of the job $1, the latest occurrence first, a page before the execution $2, which may
-- be null. If $3 names a status, those of it among the $4 latest. $5: how many at most.
SELECT s.id, s.job_id, j.name AS job_name, s.scheduled_for, s.trigger, s.attempt, s.status, s.available_at,
       s.dispatched_at, s.published_at, s.publish_count, s.started_at, s.finished_at, s.lease_until, s.deadline_at,
       s.worker, s.cancel_requested, s.job_version, CAST(s.payload AS text) AS payload, s.error_kind,
       s.error_message, s.error_detail, CAST(s.result AS text) AS result, s.output, CAST(s.progress AS text) AS progress,
       s.stands_for
FROM (
    SELECT * FROM polychron_job_execution
    WHERE job_id = $1
      AND ((scheduled_for, attempt) < (SELECT scheduled_for, attempt FROM polychron_job_execution WHERE id = $2) OR $2 IS NULL)
    ORDER BY scheduled_for DESC, attempt DESC LIMIT $4
) s
LEFT JOIN polychron_job j ON j.id = s.job_id
WHERE (s.status = $3 OR $3 IS NULL)
ORDER BY s.scheduled_for DESC, s.attempt DESC LIMIT $5
