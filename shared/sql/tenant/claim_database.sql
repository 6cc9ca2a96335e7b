-- Enters a tenant in its database; $2 says whether another tenant's entry is taken over on purpose.
-- The key is written out, because SQLite would give an integer key the next number, not its default.
INSERT INTO polychron_identity (only_row, tenant_id) VALUES (true, $1)
ON CONFLICT (only_row) DO UPDATE SET tenant_id = excluded.tenant_id
WHERE polychron_identity.tenant_id = excluded.tenant_id OR $2
