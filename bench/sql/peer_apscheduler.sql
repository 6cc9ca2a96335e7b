-- How many runs have succeeded, and how long after $1 the last of them did.
SELECT count(*) AS done, extract(epoch FROM max(finished_at) - $1)::float8 AS seconds
FROM polychron_job_execution WHERE status = 'success'
