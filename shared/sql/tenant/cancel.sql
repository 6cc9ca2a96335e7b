-- The request to end an execution. One that has not started is over at once; one that runs learns of
-- it by its worker's next heartbeat, and gets no next attempt.
UPDATE polychron_job_execution
SET cancel_requested = true,
    status = CASE WHEN status = 'running' THEN status ELSE 'cancelled' END,
    finished_at = CASE WHEN status = 'running' THEN finished_at ELSE $2 END,
    error_kind = CASE WHEN status = 'running' THEN error_kind ELSE 'cancelled' END,
    error_message = CASE WHEN status = 'running' THEN error_message ELSE 'cancelled on request' END
WHERE id = $1 AND finished_at IS NULL
RETURNING status
