-- Removes a consumer that stops, and those that are gone.
-- Parameters: $1 name, $2 last seen before.
-- Result: rows deleted.
DELETE FROM polychron_worker
WHERE name = $1
   OR seen_at < $2
