-- Finish, first statement: ends a running row.
-- Differs because SQLite needs a transaction of several statements.
-- Parameters: $1 execution id, $2 worker that must hold it, $3 status, $4 error kind, $5 error
--   message, $6 error detail, $7 result, $8 output, $9 progress, $10 now, $11 for the rescuer: the
--   lease must have ended before; null for a worker.
-- Result: cancel_requested and `needs_poll` (a row of the same job waits); no row: it is no longer the
--   worker's.
UPDATE polychron_job_execution
SET status = $3,
    finished_at = $10,
    error_kind = $4,
    error_message = $5,
    error_detail = $6,
    result = $7,
    output = coalesce($8, output),
    progress = coalesce($9, progress)
WHERE id = $1
  AND status = 'running'
  AND worker = $2
  AND ($11 IS NULL OR lease_until < $11)
RETURNING cancel_requested,
          EXISTS (
              SELECT 1
              FROM polychron_job_execution w
              WHERE w.job_id = polychron_job_execution.job_id
                AND w.finished_at IS NULL
                AND w.status = 'scheduled'
          ) AS needs_poll
