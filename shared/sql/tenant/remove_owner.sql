-- Removes a tenant from its database's identity row.
-- Parameters: $1 tenant id.
-- Result: 1 row deleted; 0: the database is not this tenant's.
DELETE FROM polychron_identity
WHERE tenant_id = $1
