-- Lists the newest executions, without their large columns. Ids begin with the time they were made.
-- Parameters: $1 the oldest id wanted, $2 most rows.
-- Result: id, status, trigger and times.
SELECT id, status, trigger, scheduled_for, started_at, finished_at
FROM polychron_job_execution
WHERE id >= $1
ORDER BY id DESC
LIMIT $2
