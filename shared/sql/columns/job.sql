SELECT id, name, job_type,
       CAST(payload AS text) AS payload,
       CAST(schedule AS text) AS schedule,
       is_enabled, next_run_at, queue, timeout_seconds, max_attempts, retry_base_seconds,
       misfire_policy, misfire_grace_seconds, overlap_policy, orphan_policy,
       version, schedule_since, quarantined_reason, pruned_until,
       CAST(notify AS text) AS notify,
       failing_since, late_since, created_at, updated_at
