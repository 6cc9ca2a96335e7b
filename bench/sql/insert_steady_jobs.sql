-- Ten jobs that do nothing once a second, each at an offset of its own.
INSERT INTO polychron_job (name, job_type, schedule)
SELECT 'job ' || n, 'noop',
       jsonb_build_object('every', '1s', 'from', '2026-01-01T00:00:00.' || lpad((random() * 999)::integer::text, 3, '0') || 'Z')
FROM generate_series(1, 10) AS n
