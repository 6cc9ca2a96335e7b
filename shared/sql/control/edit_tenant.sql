-- Edits a tenant. A null leaves a column as it is; a flag says whether to set max_running.
-- Parameters: $1 tenant id, $2 name, $3 status, $4 database_url, $5 whether to set max_running to $6,
--   $7 now, $8 schema, $9 whether the edit must neither resume the tenant nor raise its limit.
-- Result: 1 row changed; 0: unknown, or the edit would do what $9 forbids.
UPDATE polychron_tenant
SET name = coalesce($2, name),
    status = coalesce($3, status),
    database_url = coalesce($4, database_url),
    schema = coalesce($8, schema),
    max_running = CASE WHEN $5 THEN $6 ELSE max_running END,
    updated_at = $7
WHERE id = $1
  AND ($9 = false OR coalesce($3, status) IN (status, 'suspended'))
  AND ($9 = false OR $5 = false OR max_running IS NULL OR $6 <= max_running)
