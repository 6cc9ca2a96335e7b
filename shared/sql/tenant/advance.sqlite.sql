-- Second statement of the dispatch: advances one job, unless it was edited meanwhile. The time is
-- compared as a time: written by hand, the same one may have another number of digits.
-- Differs because SQLite needs a transaction of several statements.
UPDATE polychron_job SET next_run_at = $4, is_enabled = $4 IS NOT NULL, schedule_since = coalesce(schedule_since, $3)
WHERE id = $1 AND version = $2 AND julianday(next_run_at) = julianday($3) AND is_enabled
