-- The version of a schema that is older than its record of the lowest version for programs.
SELECT coalesce(max(version), 0) FROM polychron_tenant_migration WHERE success
