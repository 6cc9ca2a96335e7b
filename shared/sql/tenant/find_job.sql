-- Finds a job by its name.
-- Parameters: $1 name.
-- Result: the job; no row: unknown.
FROM polychron_job
WHERE name = $1
