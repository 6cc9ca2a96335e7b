-- Finds where a search through a job's executions, latest occurrence first, would stop.
-- Parameters: $1 job id, $2 id of the execution before which it starts, or null, $3 how many to search.
-- Result: the id of the execution after those; no row: there are not so many.
SELECT id
FROM polychron_job_execution
WHERE job_id = $1
  AND ((scheduled_for, attempt)
           < (SELECT scheduled_for, attempt FROM polychron_job_execution WHERE id = $2)
       OR $2 IS NULL)
ORDER BY scheduled_for DESC, attempt DESC
LIMIT 1 OFFSET $3
