-- Removes a tenant from the list.
-- Parameters: $1 tenant id.
-- Result: 1 row deleted; 0: unknown.
DELETE FROM polychron_tenant
WHERE id = $1
