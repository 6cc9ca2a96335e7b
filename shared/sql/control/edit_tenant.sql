-- An operator's edit of a tenant, a patch: what is null stays. $5 says whether max_running becomes $6.
UPDATE polychron_tenant
SET name = coalesce($2, name), status = coalesce($3, status), database_url = coalesce($4, database_url), schema = coalesce($8, schema),
    max_running = CASE WHEN $5 THEN $6 ELSE max_running END, updated_at = $7
WHERE id = $1
