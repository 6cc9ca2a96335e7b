-- Reads jobs that have no next time: new and edited ones.
-- Differs because JSON is text in SQLite, and SQLite reads rows in our memory: huge ones are skipped.
-- Parameters: $1 most rows, $2 jobs to leave out, because another session has locked their rows.
-- Result: id, version and schedule.
SELECT id,
       version,
       CASE WHEN octet_length(CAST(schedule AS text)) <= 4096 THEN CAST(schedule AS text) END AS schedule
FROM polychron_job
WHERE is_enabled
  AND quarantined_reason IS NULL
  AND next_run_at IS NULL
  AND id <> ALL($2::bigint[])
ORDER BY id
LIMIT $1
