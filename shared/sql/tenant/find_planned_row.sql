-- Finds the row that the engine made for an occurrence of a job.
-- Parameters: $1 job id, $2 the occurrence.
-- Result: its id, which begins with the time at which it was planned; no row: there is none.
SELECT id
FROM polychron_job_execution
WHERE job_id = $1
  AND scheduled_for = $2
  AND attempt = 1
  AND trigger = 'schedule'
