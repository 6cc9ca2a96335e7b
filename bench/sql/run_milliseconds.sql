-- The median time from claim to recorded result of jobs whose names begin with $1, in milliseconds.
SELECT (1000 * percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - started_at)))::float8
FROM polychron_job_execution e JOIN polychron_job j ON j.id = e.job_id
WHERE status = 'success' AND name LIKE $1 || ' %'
