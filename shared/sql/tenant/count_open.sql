-- Counts a job's executions that are not final.
-- Parameters: $1 job id.
-- Result: the count.
SELECT count(*)
FROM polychron_job_execution
WHERE job_id = $1
  AND finished_at IS NULL
