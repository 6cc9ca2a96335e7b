-- Renews leases that have not ended, never past the deadline, and reads requests to cancel. A row that
-- another session has locked keeps its lease as it is, so that the other leases do not wait for it.
-- Rows are locked in the order of their ids, as in every batch, so that no two deadlock. For
-- `= ANY(ARRAY[x])` see claim.postgres.sql.
-- Differs because PostgreSQL takes a batch as an array, and locks single rows.
-- Parameters: $1 execution ids in order, $2 worker, $3 now, $4 new lease end.
-- Result: of each row that is this worker's its id, lease, cancel_requested, and whether the lease was
--   renewed. Left out: rows no longer this worker's.
WITH held AS MATERIALIZED (
    SELECT id, lease_until, cancel_requested
    FROM polychron_job_execution
    WHERE id = ANY($1::uuid[])
      AND status = 'running'
      AND worker = $2
      AND lease_until > $3
), locked AS MATERIALIZED (
    SELECT id
    FROM polychron_job_execution
    WHERE id = ANY($1::uuid[])
      AND status = 'running'
      AND worker = $2
      AND lease_until > $3
    ORDER BY id
    FOR NO KEY UPDATE SKIP LOCKED
), renewed AS (
    UPDATE polychron_job_execution e
    SET lease_until = least($4, e.deadline_at)
    FROM locked
    WHERE e.id = ANY(ARRAY[locked.id])
      AND e.status = 'running'
      AND e.worker = $2
      AND e.lease_until > $3
    RETURNING e.id, e.lease_until, e.cancel_requested
)
SELECT id, lease_until, cancel_requested, true AS renewed
FROM renewed
UNION ALL
SELECT id, lease_until, cancel_requested, false
FROM held
WHERE id NOT IN (SELECT id FROM renewed)
