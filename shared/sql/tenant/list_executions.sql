-- Lists executions, newest first. Ids begin with the time they were made, so the primary key is the
-- order.
-- Parameters: $1 id before which the page starts, $2 job name or null, $3 status or null, $4 most rows.
-- Result: the executions.
FROM polychron_job_execution e
LEFT JOIN polychron_job j ON j.id = e.job_id
WHERE e.id < $1
  AND (j.name = $2 OR $2 IS NULL)
  AND (e.status = $3 OR $3 IS NULL)
ORDER BY e.id DESC
LIMIT $4
