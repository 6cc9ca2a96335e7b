-- A producer process says goodbye; also forgets those not seen since $2.
DELETE FROM polychron_producer WHERE name = $1 OR seen_at < $2
