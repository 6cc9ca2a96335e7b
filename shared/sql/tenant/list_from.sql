-- The executions of the job $1 from the occurrence $2 on, the earliest first, without what may be large:
-- for whoever asks what became of a planned time. $3: how many at most.
SELECT id, job_id, CAST(NULL AS text) AS job_name, scheduled_for, trigger, attempt, status, available_at, dispatched_at,
       published_at, publish_count, started_at, finished_at, lease_until, deadline_at, worker, cancel_requested, job_version,
       CAST(NULL AS text) AS payload, error_kind, error_message, CAST(NULL AS text) AS error_detail,
       CAST(NULL AS text) AS result, CAST(NULL AS text) AS output, CAST(NULL AS text) AS progress, stands_for
FROM polychron_job_execution
WHERE job_id = $1 AND scheduled_for >= $2
ORDER BY scheduled_for, attempt LIMIT $3
