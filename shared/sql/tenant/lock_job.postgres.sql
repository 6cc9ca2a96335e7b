-- Locks a job's row, unless another session has locked it.
-- Differs because SQLite locks whole files.
-- Parameters: $1 job id.
-- Result: the id; no row: it is locked, or unknown.
SELECT id
FROM polychron_job
WHERE id = $1
FOR NO KEY UPDATE SKIP LOCKED
