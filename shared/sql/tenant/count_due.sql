-- Counts jobs that are due and not dispatched yet.
-- Parameters: $1 now, $2 the highest count.
-- Result: the count, at most $2.
SELECT count(*)
FROM (
    SELECT 1
    FROM polychron_job
    WHERE is_enabled
      AND quarantined_reason IS NULL
      AND next_run_at <= $1
    LIMIT $2
) due
