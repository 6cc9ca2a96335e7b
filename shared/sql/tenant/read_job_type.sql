-- Reads the type of a row that may be claimed, to wait for a handler process before the claim.
-- Parameters: $1 execution id.
-- Result: the job's type; no row: it cannot be claimed.
SELECT (
    SELECT j.job_type
    FROM polychron_job j
    WHERE j.id = e.job_id
)
FROM polychron_job_execution e
WHERE e.id = $1 AND e.status = 'dispatched'
