-- Reads jobs that have no next time: new and edited ones.
-- Parameters: $1 most rows.
-- Result: id, version and schedule.
SELECT id,
       version,
       CAST(schedule AS text) AS schedule
FROM polychron_job
WHERE is_enabled
  AND quarantined_reason IS NULL
  AND next_run_at IS NULL
ORDER BY id
LIMIT $1
