-- Lists a job's executions from an occurrence on, earliest first, without their large columns: for
-- questions about what became of a planned time.
-- Parameters: $1 job id, $2 the first occurrence, $3 most rows.
-- Result: the executions, their large columns null.
FROM polychron_job_execution
WHERE job_id = $1
  AND scheduled_for >= $2
ORDER BY scheduled_for, attempt
LIMIT $3
