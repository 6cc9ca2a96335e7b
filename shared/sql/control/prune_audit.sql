-- The end of old entries: of the oldest $2, those written before $1.
DELETE FROM polychron_audit WHERE at < $1 AND id IN (SELECT id FROM polychron_audit ORDER BY id LIMIT $2)
