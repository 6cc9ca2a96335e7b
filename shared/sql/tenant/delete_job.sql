-- Deletes a job. A trigger ends its open executions in the same transaction.
-- Parameters: $1 job id.
-- Result: 1 row deleted; 0: unknown.
DELETE FROM polychron_job
WHERE id = $1
