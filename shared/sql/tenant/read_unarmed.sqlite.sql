-- Reads jobs that have no next time: new and edited ones.
-- Differs because JSON is text in SQLite, and SQLite reads rows in our memory: huge ones are skipped.
-- Parameters: $1 most rows.
-- Result: id, version and schedule.
SELECT id,
       version,
       CASE WHEN octet_length(schedule) <= 4096 THEN schedule END AS schedule
FROM polychron_job j
WHERE is_enabled
  AND quarantined_reason IS NULL
  AND next_run_at IS NULL
  AND octet_length(j.name) + octet_length(j.job_type) + octet_length(j.payload) + octet_length(j.schedule)
      + octet_length(j.queue) + coalesce(octet_length(j.notify), 0)
      + coalesce(octet_length(j.quarantined_reason), 0) <= 8388608
ORDER BY id
LIMIT $1
