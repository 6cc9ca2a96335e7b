-- Takes a tenant off the list.
DELETE FROM tenant WHERE id = $1
