-- Finds the job whose executions are notifications; its payload is the tenant's target.
-- Parameters: $1 its name.
-- Result: id and payload; no row: it does not exist yet.
SELECT id,
       CAST(payload AS text) AS payload
FROM polychron_job
WHERE name = $1
