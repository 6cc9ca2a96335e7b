-- Lists jobs that are due, oldest first.
-- Differs because SQLite locks whole files, and does not know for whom.
-- Parameters: $1 now, $2 most rows.
-- Result: their ids.
SELECT id
FROM polychron_job
WHERE is_enabled
  AND quarantined_reason IS NULL
  AND next_run_at <= $1
ORDER BY next_run_at, id
LIMIT $2
