-- Prune, second statement: records up to which occurrence a job's history may be incomplete.
-- Differs because SQLite needs a transaction of several statements.
-- Parameters: $1 job id, $2 the latest occurrence deleted.
-- Result: 1 row changed; 0: the job is gone.
UPDATE polychron_job
SET pruned_until = max(coalesce(pruned_until, $2), $2)
WHERE id = $1
