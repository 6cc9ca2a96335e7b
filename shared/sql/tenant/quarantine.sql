-- Takes a job out of the due query until its schedule is edited; guarded by version.
UPDATE polychron_job SET quarantined_reason = $3 WHERE id = $1 AND version = $2 AND quarantined_reason IS NULL
