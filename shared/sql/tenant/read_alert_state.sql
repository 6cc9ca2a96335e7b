-- Reads the state of a job that decides whether an event is a change to notify.
-- Parameters: $1 job id, or null for the job of $2; $2 id of the execution that shows the event, or null.
-- Result: the job's alert state and target, and the execution's error; no row: unknown.
SELECT j.id AS job_id,
       j.name,
       CAST(j.notify AS text) AS notify,
       j.failing_since,
       j.late_since,
       e.id AS execution,
       e.scheduled_for,
       e.attempt,
       e.error_kind,
       e.error_message
FROM polychron_job j
LEFT JOIN polychron_job_execution e ON e.id = $2
WHERE j.id = coalesce($1, (SELECT job_id FROM polychron_job_execution WHERE id = $2))
