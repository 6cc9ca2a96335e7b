-- Renews the leases that still hold, never past the deadline, and brings back who asked for an end.
-- A row that is missing from the answer is no longer this worker's.
-- Rows are updated in the order of their ids, as in every batch, so that no two can deadlock.
-- Differs because PostgreSQL takes a batch as an array.
UPDATE polychron_job_execution SET lease_until = least($4, deadline_at)
WHERE id = ANY($1::uuid[]) AND status = 'running' AND worker = $2 AND lease_until > $3
RETURNING id, lease_until, cancel_requested
