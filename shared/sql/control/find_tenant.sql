-- Finds a tenant by its slug.
-- Parameters: $1 slug.
-- Result: the tenant; no row: unknown.
SELECT id, slug, name, status, database_url, schema, max_running, created_at, updated_at
FROM polychron_tenant
WHERE slug = $1
