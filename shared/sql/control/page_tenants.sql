-- Tenants by slug, a page after $1.
SELECT id, slug, name, status, database_url, schema, max_running, created_at, updated_at
FROM polychron_tenant WHERE slug > $1 ORDER BY slug LIMIT $2
