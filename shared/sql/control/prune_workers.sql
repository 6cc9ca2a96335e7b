-- Deletes consumers that are gone.
-- Parameters: $1 last seen before.
-- Result: rows deleted.
DELETE FROM polychron_worker
WHERE seen_at < $1
