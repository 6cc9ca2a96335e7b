-- Second statement of the dispatch: advances one job, unless it was edited meanwhile.
-- Differs because SQLite needs a transaction of several statements.
UPDATE job SET next_run_at = $4, is_enabled = $4 IS NOT NULL, schedule_since = coalesce(schedule_since, $3)
WHERE id = $1 AND version = $2 AND next_run_at = $3 AND is_enabled
