-- Arms a job: sets the first time of its present schedule. Guarded by version, so an edit wins.
-- Differs because PostgreSQL takes a batch as arrays.
-- Parameters: $1 job id, $2 version read, $3 first time, $4 schedule_since.
-- Result: 1 row changed; 0: the job was edited or armed meanwhile.
UPDATE polychron_job
SET next_run_at = $3,
    schedule_since = $4
WHERE id = $1
  AND version = $2
  AND next_run_at IS NULL
  AND is_enabled
