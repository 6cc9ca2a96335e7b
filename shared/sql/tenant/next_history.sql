-- Finds the next job that has executions, even if the job itself was deleted.
-- Parameters: $1 job id before it.
-- Result: its id; no row: there is none.
SELECT job_id
FROM polychron_job_execution
WHERE job_id > $1
ORDER BY job_id
LIMIT 1
