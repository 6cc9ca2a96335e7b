-- Finds where a search through the newest executions would stop.
-- Parameters: $1 id before which it starts, $2 how many to search.
-- Result: the id of the execution after those; no row: there are not so many.
SELECT id
FROM polychron_job_execution
WHERE id < $1
ORDER BY id DESC
LIMIT 1 OFFSET $2
