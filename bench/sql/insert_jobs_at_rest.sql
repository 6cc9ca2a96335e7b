-- $1 jobs that do nothing and are due at some time between tomorrow and a year from now.
INSERT INTO polychron_job (name, job_type, schedule, next_run_at, schedule_since)
SELECT 'job ' || n, 'noop', '{"every": "24h"}', now() + interval '1 day' + random() * interval '1 year', now()
FROM generate_series(1, $1) AS n
