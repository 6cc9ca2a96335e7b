-- How many jobs are due at $1 and not dispatched yet; counts no further than $2.
SELECT count(*) FROM (
    SELECT 1 FROM polychron_job WHERE is_enabled AND quarantined_reason IS NULL AND next_run_at <= $1 LIMIT $2
) due
