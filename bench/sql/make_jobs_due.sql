-- The first $1 jobs are due $2 seconds from now; when that is.
WITH due AS (
    UPDATE polychron_job SET next_run_at = now() + make_interval(secs => $2) WHERE id <= $1 RETURNING next_run_at
)
SELECT max(next_run_at) FROM due
