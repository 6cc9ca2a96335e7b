-- Whose database this is.
SELECT tenant_id FROM polychron_identity
