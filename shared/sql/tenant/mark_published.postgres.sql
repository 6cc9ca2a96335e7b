-- Records the broker's confirms, for the sweeper. A message that the sweeper sent was counted when it
-- was taken for sending. A locked row is being claimed or finished, or gets one sweep more than it
-- needs: it is skipped, so this statement waits for nothing and joins no deadlock.
-- Differs because PostgreSQL takes a batch as arrays.
-- Parameters: $1 execution ids, $2 now.
-- Result: rows changed; rows claimed meanwhile need no sweep.
WITH locked AS MATERIALIZED (
    SELECT id
    FROM polychron_job_execution
    WHERE id = ANY($1::uuid[])
      AND finished_at IS NULL
      AND status = 'dispatched'
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE polychron_job_execution e
SET published_at = $2,
    publish_count = publish_count + CASE WHEN published_at IS NULL THEN 1 ELSE 0 END
FROM locked
WHERE e.id = locked.id
  AND status = 'dispatched'
