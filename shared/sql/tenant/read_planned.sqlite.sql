-- Reads jobs with a next time, to compare it with their schedules. What only a hand can have written (a
-- time after 9999, a text that is too long) is left out.
-- Differs because JSON is text in SQLite, whose rows are read here: a huge one is left alone there.
-- Parameters: $1 jobs after this id, $2 next times after this, $3 most rows.
-- Result: the jobs in the order of their ids.
SELECT id, name, version, schedule, next_run_at,
       coalesce(schedule_since, created_at) AS schedule_since
FROM polychron_job j
WHERE is_enabled
  AND quarantined_reason IS NULL
  AND id > $1
  AND next_run_at > $2
  AND next_run_at <= '9999-12-31T23:59:59+00:00'
  AND octet_length(schedule) <= 4096
  AND octet_length(name) <= 800
  AND octet_length(j.name) + octet_length(j.job_type) + octet_length(j.payload) + octet_length(j.schedule)
      + octet_length(j.queue) + coalesce(octet_length(j.notify), 0)
      + coalesce(octet_length(j.quarantined_reason), 0) <= 8388608
ORDER BY id
LIMIT $3
