-- Inserts a job as a user defines it; the producer arms it.
-- Parameters: $1 name, $2 job_type, $3 payload, $4 schedule, $5 is_enabled, $6 queue,
--   $7 timeout_seconds, $8 max_attempts, $9 retry_base_seconds, $10 misfire_policy,
--   $11 misfire_grace_seconds, $12 overlap_policy, $13 orphan_policy, $14 notify.
-- Result: its id.
INSERT INTO polychron_job (
    name, job_type, payload, schedule, is_enabled, queue, timeout_seconds, max_attempts,
    retry_base_seconds, misfire_policy, misfire_grace_seconds, overlap_policy, orphan_policy, notify
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
RETURNING id
