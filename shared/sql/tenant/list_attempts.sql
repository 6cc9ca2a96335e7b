-- Lists every attempt at an execution's occurrence, the first one first.
-- Parameters: $1 id of any of its executions, $2 most rows.
-- Result: the executions.
FROM polychron_job_execution e
LEFT JOIN polychron_job j ON j.id = e.job_id
WHERE (e.job_id, e.scheduled_for) = (
    SELECT job_id, scheduled_for
    FROM polychron_job_execution
    WHERE id = $1
)
ORDER BY e.attempt
LIMIT $2
