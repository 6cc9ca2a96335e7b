-- A consumer process says goodbye; also forgets those not seen since $2.
DELETE FROM polychron_worker WHERE name = $1 OR seen_at < $2
