-- A user's edit of a job, a patch: what is null stays. Guarded by the version the user has seen ($2),
-- if it is given. $8 says whether timeout_seconds becomes $9, $17 whether notify becomes $18. The edit trigger sets version to the
-- same next number, so that every edit counts once.
UPDATE polychron_job
SET job_type = coalesce($3, job_type), payload = coalesce($4, payload), schedule = coalesce($5, schedule),
    is_enabled = coalesce($6, is_enabled), queue = coalesce($7, queue),
    timeout_seconds = CASE WHEN $8 THEN $9 ELSE timeout_seconds END,
    max_attempts = coalesce($10, max_attempts), retry_base_seconds = coalesce($11, retry_base_seconds),
    misfire_policy = coalesce($12, misfire_policy), misfire_grace_seconds = coalesce($13, misfire_grace_seconds),
    overlap_policy = coalesce($14, overlap_policy), orphan_policy = coalesce($15, orphan_policy),
    notify = CASE WHEN $17 THEN $18 ELSE notify END,
    version = version + 1, updated_at = $16
WHERE name = $1 AND version = coalesce($2, version)
