-- Renews leases that have not ended, never past the deadline, and reads requests to cancel.
-- Rows are updated in the order of their ids, as in every batch, so that no two deadlock.
-- Differs because PostgreSQL takes a batch as an array.
-- Parameters: $1 execution ids in order, $2 worker, $3 now, $4 new lease end.
-- Result: of each row renewed its id, lease and cancel_requested. Left out: rows no longer this worker's.
UPDATE polychron_job_execution
SET lease_until = least($4, deadline_at)
WHERE id = ANY($1::uuid[])
  AND status = 'running'
  AND worker = $2
  AND lease_until > $3
RETURNING id, lease_until, cancel_requested
