-- Quarantines a job: no poll finds it due until its schedule is edited. Guarded by version. A row that
-- another session has locked is left to the next poll.
-- Differs because only PostgreSQL locks single rows.
-- Parameters: $1 job id, $2 version read, $3 reason.
-- Result: 1 row changed; 0: it was edited or quarantined meanwhile, or is locked.
WITH locked AS MATERIALIZED (
    SELECT id
    FROM polychron_job
    WHERE id = $1
      AND version = $2
      AND quarantined_reason IS NULL
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE polychron_job j
SET quarantined_reason = $3
FROM locked
WHERE j.id = locked.id
  AND j.version = $2
  AND j.quarantined_reason IS NULL
