-- The first job after $1 that has executions, be it that the job itself is gone.
SELECT job_id FROM polychron_job_execution WHERE job_id > $1 ORDER BY job_id LIMIT 1
