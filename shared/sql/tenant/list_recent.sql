-- Lists the newest executions, without their large columns. Ids begin with the time they were made.
-- Parameters: $1 the oldest id wanted, $2 most rows.
-- Result: id, status, trigger and times.
SELECT id,
       CASE WHEN octet_length(status) > 20 THEN 'failed' ELSE status END AS status,
       CASE WHEN octet_length(trigger) > 20 THEN 'schedule' ELSE trigger END AS trigger,
       scheduled_for, started_at, finished_at
FROM polychron_job_execution
WHERE id >= $1
ORDER BY id DESC
LIMIT $2
