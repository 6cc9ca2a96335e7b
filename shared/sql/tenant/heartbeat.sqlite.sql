-- Renews the leases that still hold, never past the deadline, and brings back who asked for an end.
-- A row that is missing from the answer is no longer this worker's.
-- Differs because PostgreSQL takes a batch as arrays.
UPDATE polychron_job_execution SET lease_until = min($4, deadline_at)
WHERE id IN (SELECT value FROM json_each($1)) AND status = 'running' AND worker = $2 AND lease_until > $3
RETURNING id, lease_until, cancel_requested
