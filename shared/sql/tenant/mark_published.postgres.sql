-- Records the broker's confirms, for the sweeper; rows that were claimed meanwhile need no sweep.
-- A message that the sweeper sent has been counted when it was taken for sending. Rows are locked in
-- the order of their ids, as in every batch, so that no two can deadlock.
-- Differs because PostgreSQL takes a batch as arrays.
WITH locked AS MATERIALIZED (
    SELECT id FROM job_execution WHERE id = ANY($1::uuid[]) AND finished_at IS NULL ORDER BY id FOR NO KEY UPDATE
)
UPDATE job_execution e
SET published_at = $2, publish_count = publish_count + CASE WHEN published_at IS NULL THEN 1 ELSE 0 END
FROM locked
WHERE e.id = locked.id AND status = 'dispatched'
