-- Lists every tenant, by slug.
-- Result: the tenants.
SELECT id, slug, name, status, database_url, schema, max_running, created_at, updated_at
FROM polychron_tenant
ORDER BY slug
