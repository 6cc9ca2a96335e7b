-- Reads the state of a job that decides whether an event is a change to notify.
-- Differs because JSON is text in SQLite.
-- Parameters: $1 job id, or null for the job of $2; $2 id of the execution that shows the event, or null.
-- Result: the job's alert state and target, and the execution's error; no row: unknown.
SELECT j.id AS job_id,
       CASE WHEN octet_length(j.name) > 800 THEN '(too long)' ELSE j.name END AS name,
       CASE WHEN octet_length(j.notify) > 4096 THEN '"(too long)"' ELSE j.notify END AS notify,
       j.failing_since,
       j.late_since,
       e.id AS execution,
       e.scheduled_for,
       e.attempt,
       CASE WHEN octet_length(e.error_kind) <= 40 THEN e.error_kind END AS error_kind,
       CASE WHEN octet_length(e.error_message) > 65536 THEN '(too long)'
            ELSE e.error_message END AS error_message
FROM polychron_job j
LEFT JOIN polychron_job_execution e ON e.id = $2
WHERE j.id = coalesce($1, (SELECT job_id FROM polychron_job_execution WHERE id = $2))
