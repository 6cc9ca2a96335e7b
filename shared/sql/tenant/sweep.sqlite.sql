-- Sweeps: takes one row for another publish. Guarded by publish_count, so of two sweepers one wins.
-- Differs because PostgreSQL takes a batch as arrays.
-- Parameters: $1 execution id, $2 publish count read, $3 now.
-- Result: the id; no row: another sweeper took it, or it was claimed.
UPDATE polychron_job_execution
SET published_at = $3,
    publish_count = publish_count + 1
WHERE id = $1
  AND publish_count = $2
  AND status = 'dispatched'
RETURNING id
