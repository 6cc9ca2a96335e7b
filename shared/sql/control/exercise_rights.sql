-- Exercises the rights that producers and consumers need, on no rows. It fails if they are missing, and in a
-- read-only database.
-- Result: 0 rows changed.
INSERT INTO polychron_producer
SELECT *
FROM polychron_producer
WHERE false
ON CONFLICT (name) DO UPDATE
SET seen_at = excluded.seen_at
