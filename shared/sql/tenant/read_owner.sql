-- Reads whose database this is.
-- Result: the tenant's id; no row: nobody's yet.
SELECT tenant_id
FROM polychron_identity
