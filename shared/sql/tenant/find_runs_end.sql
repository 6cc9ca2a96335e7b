-- Of the executions of the job $1 before the execution $2, which may be null, the latest first, the one
-- after the first $3; no row if there are not so many.
SELECT id FROM polychron_job_execution
WHERE job_id = $1
  AND ((scheduled_for, attempt) < (SELECT scheduled_for, attempt FROM polychron_job_execution WHERE id = $2) OR $2 IS NULL)
ORDER BY scheduled_for DESC, attempt DESC LIMIT 1 OFFSET $3
