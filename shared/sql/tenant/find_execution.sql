-- Finds an execution.
-- Parameters: $1 execution id.
-- Result: the execution; no row: unknown.
FROM polychron_job_execution e
LEFT JOIN polychron_job j ON j.id = e.job_id
WHERE e.id = $1
