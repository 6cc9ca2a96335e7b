-- Lists all tenants. Every row carries their number, so a list that ends early is noticed; there is a row
-- even if there is no tenant.
-- Result: the number of tenants, then one of them, ordered by slug; null: there is none.
SELECT listed.tenants, t.id, t.slug, t.name, t.status, t.database_url, t.schema, t.max_running, t.created_at,
       t.updated_at
FROM (
    SELECT count(*) AS tenants
    FROM polychron_tenant
) listed
LEFT JOIN polychron_tenant t ON true
ORDER BY t.slug
