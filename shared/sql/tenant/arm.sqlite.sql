-- Gives a job its first time under the present schedule; guarded by version, so that an edit wins.
-- Differs because PostgreSQL takes a batch as arrays.
UPDATE polychron_job SET next_run_at = $3, schedule_since = $4
WHERE id = $1 AND version = $2 AND next_run_at IS NULL AND is_enabled
