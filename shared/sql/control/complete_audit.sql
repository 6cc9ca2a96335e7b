-- Completes an audit entry with the result of the change.
-- Parameters: $1 entry's id, $2 the state afterwards.
-- Result: 1 row changed.
UPDATE polychron_audit
SET after = $2
WHERE id = $1
