-- One tenant by its slug.
SELECT id, slug, name, status, database_url, max_running, created_at, updated_at FROM tenant WHERE slug = $1
