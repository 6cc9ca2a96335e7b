-- Deletes old audit entries.
-- Parameters: $1 delete entries written before, $2 how many of the oldest to search.
-- Result: rows deleted.
DELETE FROM polychron_audit
WHERE at < $1
  AND id IN (
      SELECT id
      FROM polychron_audit
      ORDER BY id
      LIMIT $2
  )
