-- Quarantines a job: no poll finds it due until its schedule is edited. Guarded by version.
-- Differs because only PostgreSQL locks single rows.
-- Parameters: $1 job id, $2 version read, $3 reason.
-- Result: 1 row changed; 0: it was edited or quarantined meanwhile.
UPDATE polychron_job
SET quarantined_reason = $3
WHERE id = $1
  AND version = $2
  AND quarantined_reason IS NULL
