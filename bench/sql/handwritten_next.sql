-- Seconds until the next job is due.
SELECT extract(epoch FROM min(next_run_at) - clock_timestamp())::float8 FROM polychron_job
