-- Removes a producer that stops, and those that are gone.
-- Parameters: $1 name, $2 last seen before.
-- Result: rows deleted.
DELETE FROM polychron_producer
WHERE name = $1
   OR seen_at < $2
