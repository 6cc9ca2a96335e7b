-- $1 jobs that are due an hour from now or later. One text for both databases: the times come bound.
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $1)
INSERT INTO polychron_job(name, job_type, schedule, next_run_at, schedule_since)
SELECT 'job-' || n, 'noop', '{"every":"1h"}', $2, $3 FROM numbers
