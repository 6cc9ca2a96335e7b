-- A job as a user defines it; the producer works out its first time.
INSERT INTO polychron_job (name, job_type, payload, schedule, is_enabled, queue, timeout_seconds, max_attempts,
                 retry_base_seconds, misfire_policy, misfire_grace_seconds, overlap_policy, orphan_policy, notify)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
RETURNING id
