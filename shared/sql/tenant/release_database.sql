-- Takes a tenant's entry out of its database; another's stays.
DELETE FROM polychron_identity WHERE tenant_id = $1
