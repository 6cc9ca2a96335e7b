-- Enters a tenant in its database; $2 says whether another tenant's entry is taken over on purpose.
INSERT INTO polychron_identity (tenant_id) VALUES ($1)
ON CONFLICT (only_row) DO UPDATE SET tenant_id = excluded.tenant_id
WHERE polychron_identity.tenant_id = excluded.tenant_id OR $2
