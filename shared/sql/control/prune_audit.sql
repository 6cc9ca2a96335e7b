-- The end of old entries: of the oldest $2, those written before $1.
DELETE FROM audit WHERE at < $1 AND id IN (SELECT id FROM audit ORDER BY id LIMIT $2)
