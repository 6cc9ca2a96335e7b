-- Records the broker's confirms, for the sweeper; rows that were claimed meanwhile need no sweep.
-- A message that the sweeper sent has been counted when it was taken for sending. A row that somebody
-- else has locked is being claimed or ended, or is swept once more than needed: it is left out, so
-- that this waits for nobody and can be part of no deadlock.
-- Differs because PostgreSQL takes a batch as arrays.
WITH locked AS MATERIALIZED (
    SELECT id FROM polychron_job_execution WHERE id = ANY($1::uuid[]) AND finished_at IS NULL AND status = 'dispatched'
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE polychron_job_execution e
SET published_at = $2, publish_count = publish_count + CASE WHEN published_at IS NULL THEN 1 ELSE 0 END
FROM locked
WHERE e.id = locked.id AND status = 'dispatched'
