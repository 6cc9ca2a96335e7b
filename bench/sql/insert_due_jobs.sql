-- $1 jobs that do nothing, all due $2 seconds from now.
INSERT INTO polychron_job (name, job_type, schedule, next_run_at)
SELECT 'job ' || n, 'noop', '{"every": "24h"}', now() + make_interval(secs => $2) FROM generate_series(1, $1) AS n
