-- Requests the end of an execution. One that has not started ends at once. A running one ends when
-- its worker's next heartbeat reads the request; no attempt follows.
-- Parameters: $1 execution id, $2 now.
-- Result: the status afterwards; no row: unknown or already final.
UPDATE polychron_job_execution
SET cancel_requested = true,
    status = CASE WHEN status = 'running' THEN status ELSE 'cancelled' END,
    finished_at = CASE WHEN status = 'running' THEN finished_at ELSE $2 END,
    error_kind = CASE WHEN status = 'running' THEN error_kind ELSE 'cancelled' END,
    error_message = CASE WHEN status = 'running' THEN error_message ELSE 'cancelled on request' END
WHERE id = $1
  AND finished_at IS NULL
RETURNING status
