-- Adds a tenant; its slug must be free.
-- Parameters: $1 tenant id, $2 slug, $3 name, $4 status, $5 database_url, $6 max_running, $7 now,
--   $8 schema.
-- Result: 1 row inserted.
INSERT INTO polychron_tenant (
    id, slug, name, status, database_url, max_running, created_at, updated_at, schema
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8)
