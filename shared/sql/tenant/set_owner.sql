-- Writes a tenant into its database's identity row. The key is written out, because SQLite would give
-- an integer key the next number instead of its default.
-- Parameters: $1 tenant id, $2 whether to replace another tenant's entry.
-- Result: 1 row changed; 0: the database belongs to another tenant.
INSERT INTO polychron_identity (only_row, tenant_id)
VALUES (true, $1)
ON CONFLICT (only_row) DO UPDATE SET tenant_id = excluded.tenant_id
WHERE polychron_identity.tenant_id = excluded.tenant_id
   OR $2
