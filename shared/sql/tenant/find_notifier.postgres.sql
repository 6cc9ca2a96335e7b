-- Finds the job whose executions are notifications; its payload is the tenant's target.
-- Differs because JSON is text in SQLite.
-- Parameters: $1 its name.
-- Result: id and payload; no row: it does not exist yet.
SELECT id,
       CASE WHEN octet_length(CAST(payload AS text)) <= 65536 THEN CAST(payload AS text)
            ELSE '{}' END AS payload
FROM polychron_job
WHERE name = $1
