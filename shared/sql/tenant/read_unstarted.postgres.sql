-- Reads occurrences that have not started, the oldest first.
-- Differs because SQLite reads rows in our memory: huge ones are skipped.
-- Parameters: $1 scheduled before, $2 most rows.
-- Result: execution, job, scheduled_for and the job's grace.
SELECT e.id, e.job_id, e.scheduled_for, j.misfire_grace_seconds
FROM polychron_job_execution e
JOIN polychron_job j ON j.id = e.job_id
WHERE e.finished_at IS NULL
  AND e.started_at IS NULL
  AND e.trigger = 'schedule'
  AND e.attempt = 1
  AND e.scheduled_for < $1
ORDER BY e.scheduled_for
LIMIT $2
