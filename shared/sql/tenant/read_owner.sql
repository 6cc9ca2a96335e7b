-- Reads whose database this is.
-- Result: the tenant's id; no row: it has no tenant yet.
SELECT tenant_id
FROM polychron_identity
