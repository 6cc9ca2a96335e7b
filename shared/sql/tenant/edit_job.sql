-- Edits a job. A null leaves a column as it is; where null is a value of its own, a flag says whether
-- to set the column. The edit trigger sets the same next version, so every edit counts once.
-- Parameters: $1 name, $2 version that the user saw, or null; $3 job_type, $4 payload, $5 schedule,
--   $6 is_enabled, $7 queue, $8 whether to set timeout_seconds to $9, $10 max_attempts,
--   $11 retry_base_seconds, $12 misfire_policy, $13 misfire_grace_seconds, $14 overlap_policy,
--   $15 orphan_policy, $16 now, $17 whether to set notify to $18.
-- Result: 1 row changed; 0: unknown, or its version is another.
UPDATE polychron_job
SET job_type = coalesce($3, job_type),
    payload = coalesce($4, payload),
    schedule = coalesce($5, schedule),
    is_enabled = coalesce($6, is_enabled),
    queue = coalesce($7, queue),
    timeout_seconds = CASE WHEN $8 THEN $9 ELSE timeout_seconds END,
    max_attempts = coalesce($10, max_attempts),
    retry_base_seconds = coalesce($11, retry_base_seconds),
    misfire_policy = coalesce($12, misfire_policy),
    misfire_grace_seconds = coalesce($13, misfire_grace_seconds),
    overlap_policy = coalesce($14, overlap_policy),
    orphan_policy = coalesce($15, orphan_policy),
    notify = CASE WHEN $17 THEN $18 ELSE notify END,
    version = version + 1,
    updated_at = $16
WHERE name = $1
  AND version = coalesce($2, version)
