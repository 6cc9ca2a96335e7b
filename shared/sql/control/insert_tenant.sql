-- A new tenant; its slug must be free.
INSERT INTO polychron_tenant (id, slug, name, status, database_url, max_running, created_at, updated_at, schema)
VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8)
