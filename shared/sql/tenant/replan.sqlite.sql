-- Works out a job's next time anew. Guarded by version and by the time read, so an edit, a hand and a
-- dispatch win. What says that the future is past is corrected with it.
-- Differs because SQLite compares times as text, and one that was written by hand may have other digits.
-- Parameters: $1 job id, $2 version read, $3 next_run_at read, $4 next time; null switches the job off;
--   $5 now.
-- Result: 1 row changed; 0: the job was edited, switched off or dispatched meanwhile.
UPDATE polychron_job
SET next_run_at = $4,
    is_enabled = $4 IS NOT NULL,
    schedule_since = CASE WHEN schedule_since > $5 THEN $5 ELSE schedule_since END,
    pruned_until = CASE WHEN pruned_until > $5 THEN $5 ELSE pruned_until END
WHERE id = $1
  AND version = $2
  AND julianday(next_run_at) = julianday($3)
  AND is_enabled
