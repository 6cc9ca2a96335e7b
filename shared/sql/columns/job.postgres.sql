SELECT id,
       CASE WHEN octet_length(name) <= 800 THEN name END AS name,
       CASE WHEN octet_length(job_type) <= 400 THEN job_type END AS job_type,
       CASE WHEN octet_length(CAST(payload AS text)) <= 65536 THEN CAST(payload AS text) END AS payload,
       CASE WHEN octet_length(CAST(schedule AS text)) <= 4096 THEN CAST(schedule AS text) END AS schedule,
       is_enabled, next_run_at,
       CASE WHEN octet_length(queue) <= 64 THEN queue END AS queue,
       timeout_seconds, max_attempts, retry_base_seconds,
       CASE WHEN octet_length(misfire_policy) <= 20 THEN misfire_policy END AS misfire_policy,
       misfire_grace_seconds,
       CASE WHEN octet_length(overlap_policy) <= 20 THEN overlap_policy END AS overlap_policy,
       CASE WHEN octet_length(orphan_policy) <= 20 THEN orphan_policy END AS orphan_policy,
       version, schedule_since,
       CASE WHEN octet_length(quarantined_reason) > 65536 THEN '(too long)'
            ELSE quarantined_reason END AS quarantined_reason,
       pruned_until,
       CASE WHEN octet_length(CAST(notify AS text)) > 4096 THEN '"(too long)"'
            ELSE CAST(notify AS text) END AS notify,
       failing_since, late_since, created_at, updated_at
