-- Fourth statement of the dispatch: moves one waiting row on.
-- Differs because SQLite needs a transaction of several statements.
UPDATE polychron_job_execution SET status = 'dispatched', dispatched_at = $2
WHERE id = $1 AND status = 'scheduled' AND NOT cancel_requested
