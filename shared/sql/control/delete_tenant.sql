-- Takes a tenant off the list.
DELETE FROM polychron_tenant WHERE id = $1
