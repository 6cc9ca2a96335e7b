-- Renews leases that have not ended, never past the deadline, and reads requests to cancel.
-- Differs because PostgreSQL takes a batch as an array, and locks single rows.
-- Parameters: $1 execution ids (JSON array), $2 worker, $3 now, $4 new lease end.
-- Result: of each row that is this worker's its id, lease, cancel_requested, and that the lease was renewed.
--   Left out: rows no longer this worker's.
UPDATE polychron_job_execution
SET lease_until = min($4, deadline_at)
WHERE id IN (SELECT value FROM json_each($1))
  AND status = 'running'
  AND worker = $2
  AND lease_until > $3
RETURNING id, lease_until, cancel_requested, true AS renewed
