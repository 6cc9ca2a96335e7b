-- What came of it.
UPDATE polychron_audit SET after = $2 WHERE id = $1
