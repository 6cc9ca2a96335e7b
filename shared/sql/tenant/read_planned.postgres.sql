-- Reads jobs with a next time, to compare it with their schedules. What only a hand can have written (a
-- time after 9999, a text that is too long) is left out.
-- Differs because JSON is text in SQLite, whose rows are read here: a huge one is left alone there.
-- Parameters: $1 jobs after this id, $2 next times after this, $3 most rows.
-- Result: the jobs in the order of their ids.
SELECT id, name, version,
       CAST(schedule AS text) AS schedule,
       next_run_at,
       coalesce(schedule_since, created_at) AS schedule_since
FROM polychron_job
WHERE is_enabled
  AND quarantined_reason IS NULL
  AND id > $1
  AND next_run_at > $2
  AND next_run_at <= '9999-12-31 23:59:59+00'
  AND octet_length(CAST(schedule AS text)) <= 4096
  AND octet_length(name) <= 800
ORDER BY id
LIMIT $3
