-- How many executions of a job are not final.
SELECT count(*) FROM polychron_job_execution WHERE job_id = $1 AND finished_at IS NULL
