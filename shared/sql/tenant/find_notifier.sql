-- The job whose executions are notifications; its payload is the tenant's target.
SELECT id, CAST(payload AS text) AS payload FROM polychron_job WHERE name = $1
