-- Dispatch, fourth statement: dispatches one waiting row.
-- Differs because SQLite needs a transaction of several statements.
-- Parameters: $1 execution id, $2 now.
-- Result: 1 row changed; 0: it no longer waits.
UPDATE polychron_job_execution
SET status = 'dispatched',
    dispatched_at = $2
WHERE id = $1
  AND status = 'scheduled'
  AND NOT cancel_requested
