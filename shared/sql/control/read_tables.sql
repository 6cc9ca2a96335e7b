-- Reads no rows of any table. It fails if a table is missing.
-- Result: no row.
SELECT 1
FROM polychron_tenant, polychron_worker, polychron_producer, polychron_audit
WHERE false
