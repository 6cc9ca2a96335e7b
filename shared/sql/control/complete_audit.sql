-- What came of it.
UPDATE audit SET after = $2 WHERE id = $1
