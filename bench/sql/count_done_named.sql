-- How many executions of jobs whose names begin with $1 have succeeded, and how long after they were due the
-- last of them did.
SELECT count(*) AS done, extract(epoch FROM max(finished_at) - min(scheduled_for))::float8 AS seconds
FROM polychron_job_execution e JOIN polychron_job j ON j.id = e.job_id
WHERE status = 'success' AND name LIKE $1 || ' %'
