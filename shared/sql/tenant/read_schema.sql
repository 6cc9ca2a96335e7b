-- The version that this database's schema has.
SELECT coalesce(max(version), 0) FROM polychron_tenant_migration WHERE success
