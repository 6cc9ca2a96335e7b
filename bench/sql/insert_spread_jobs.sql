-- $1 jobs whose names begin with $2, of type $3 with payload $4, each due at an instant of its own: at random
-- within $6 seconds from $5 seconds from now on.
INSERT INTO polychron_job (name, job_type, payload, schedule, next_run_at)
SELECT $2 || ' ' || n, $3, $4::jsonb, '{"every": "24h"}', now() + make_interval(secs => $5 + random() * $6)
FROM generate_series(1, $1) AS n
