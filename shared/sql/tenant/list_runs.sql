-- Lists a job's executions, the latest occurrence first. To find few of a status among many must not
-- read a whole history, so only so many are searched.
-- Parameters: $1 job id, $2 id of the execution before which the page starts, or null, $3 status or
--   null, $4 how many to search, $5 most rows.
-- Result: the executions.
FROM (
    SELECT *
    FROM polychron_job_execution
    WHERE job_id = $1
      AND ((scheduled_for, attempt)
               < (SELECT scheduled_for, attempt FROM polychron_job_execution WHERE id = $2)
           OR $2 IS NULL)
    ORDER BY scheduled_for DESC, attempt DESC
    LIMIT $4
) e
LEFT JOIN polychron_job j ON j.id = e.job_id
WHERE (e.status = $3 OR $3 IS NULL)
ORDER BY e.scheduled_for DESC, e.attempt DESC
LIMIT $5
