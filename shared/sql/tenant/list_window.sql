-- Lists executions of a status, newest first. To find few of a status among many must not read a
-- whole history, so only so many are searched.
-- Parameters: $1 id before which the search starts, $2 status, $3 how many to search, $4 most rows.
-- Result: the executions.
FROM (
    SELECT *
    FROM polychron_job_execution
    WHERE id < $1
    ORDER BY id DESC
    LIMIT $3
) e
LEFT JOIN polychron_job j ON j.id = e.job_id
WHERE e.status = $2
ORDER BY e.id DESC
LIMIT $4
