-- Lists tenants by slug.
-- Parameters: $1 slug after which the page starts, $2 most rows.
-- Result: the tenants.
SELECT id, slug, name, status, database_url, schema, max_running, created_at, updated_at
FROM polychron_tenant
WHERE slug > $1
ORDER BY slug
LIMIT $2
