-- Lists executions that are not final, newest first. They are few, and the index on open rows finds
-- them.
-- Parameters: $1 id before which the page starts, $2 job name or null, $3 status or null, $4 most rows.
-- Result: the executions.
FROM polychron_job_execution e
LEFT JOIN polychron_job j ON j.id = e.job_id
WHERE e.finished_at IS NULL
  AND e.id < $1
  AND (j.name = $2 OR $2 IS NULL)
  AND (e.status = $3 OR $3 IS NULL)
ORDER BY e.id DESC
LIMIT $4
