-- Dispatch, second statement: moves one job to its next time, unless it was edited meanwhile.
-- Times are compared as times: the same time written by hand may have another number of digits.
-- Differs because SQLite needs a transaction of several statements.
-- Parameters: $1 job id, $2 version read, $3 next_run_at read, $4 next time; null switches the job off.
-- Result: 1 row changed; 0: the job was edited, switched off or advanced by another producer.
UPDATE polychron_job
SET next_run_at = $4,
    is_enabled = $4 IS NOT NULL,
    schedule_since = coalesce(schedule_since, $3)
WHERE id = $1
  AND version = $2
  AND julianday(next_run_at) = julianday($3)
  AND is_enabled
