-- Reads executions in the order of jobs, occurrences and attempts, without their large columns: for
-- the check of what ran.
-- Parameters: the page starts after $1 job id, $2 scheduled_for, $3 attempt; $4 the first occurrence
--   wanted, $5 the occurrence before which it ends, $6 most rows.
-- Result: the executions, their large columns null.
FROM polychron_job_execution
WHERE (job_id, scheduled_for, attempt) > ($1, $2, $3)
  AND scheduled_for >= $4
  AND scheduled_for < $5
ORDER BY job_id, scheduled_for, attempt
LIMIT $6
