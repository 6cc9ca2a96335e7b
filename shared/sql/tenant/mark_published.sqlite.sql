-- Records the broker's confirms, for the sweeper. A message that the sweeper sent was counted when it
-- was taken for sending.
-- Differs because PostgreSQL takes a batch as arrays.
-- Parameters: $1 execution ids (JSON array), $2 now.
-- Result: rows changed; rows claimed meanwhile need no sweep.
UPDATE polychron_job_execution
SET published_at = $2,
    publish_count = publish_count + CASE WHEN published_at IS NULL THEN 1 ELSE 0 END
WHERE id IN (SELECT value FROM json_each($1))
  AND status = 'dispatched'
