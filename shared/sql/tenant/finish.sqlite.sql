-- First statement of the end of a running row. Guarded by the worker that holds it; the rescuer, who
-- speaks for a lost one, also by the lease's end ($11). `freed`: a row of the same job waits.
-- Differs because SQLite needs a transaction of several statements.
UPDATE polychron_job_execution
SET status = $3, finished_at = $10, error_kind = $4, error_message = $5, error_detail = $6, result = $7,
    output = coalesce($8, output), progress = coalesce($9, progress)
WHERE id = $1 AND status = 'running' AND worker = $2 AND ($11 IS NULL OR lease_until < $11)
RETURNING cancel_requested,
          EXISTS (SELECT 1 FROM polychron_job_execution w WHERE w.job_id = polychron_job_execution.job_id AND w.finished_at IS NULL
                                                  AND w.status = 'scheduled') AS freed
