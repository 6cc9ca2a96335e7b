-- How many of the executions that were due at $1 have succeeded, and how long after $1 the last of them did.
-- Asked by the first $2 jobs, whatever the size of the table.
SELECT count(*) AS done, extract(epoch FROM max(finished_at) - $1)::float8 AS seconds
FROM generate_series(1, $2) AS n JOIN polychron_job_execution e ON e.job_id = n AND e.scheduled_for = $1
WHERE status = 'success'
