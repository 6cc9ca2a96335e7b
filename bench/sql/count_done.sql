-- How many executions have succeeded, and how long after they were due the last of them did.
SELECT count(*) AS done, extract(epoch FROM max(finished_at) - min(scheduled_for))::float8 AS seconds
FROM polychron_job_execution WHERE status = 'success'
