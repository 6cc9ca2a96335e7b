-- Records the broker's confirms, for the sweeper; rows that were claimed meanwhile need no sweep.
-- Differs because PostgreSQL takes a batch as arrays.
UPDATE job_execution SET published_at = $2, publish_count = publish_count + 1
WHERE id IN (SELECT value FROM json_each($1)) AND status = 'dispatched'
