-- Reads no rows of any table. It fails if a table is missing.
-- Result: no row.
SELECT 1
FROM polychron_job, polychron_job_execution, polychron_identity
WHERE false
