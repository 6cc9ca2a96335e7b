-- Finds the latest attempt at an execution's occurrence. The transition that ends one also inserts
-- the next, so if this one is final, so is the occurrence.
-- Parameters: $1 id of any of its executions.
-- Result: the execution; no row: unknown.
FROM polychron_job_execution o
JOIN polychron_job_execution e ON e.job_id = o.job_id AND e.scheduled_for = o.scheduled_for
LEFT JOIN polychron_job j ON j.id = e.job_id
WHERE o.id = $1
ORDER BY e.attempt DESC
LIMIT 1
