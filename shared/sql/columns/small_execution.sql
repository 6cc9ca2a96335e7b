SELECT id, job_id, CAST(NULL AS text) AS job_name, scheduled_for, trigger, attempt, status, available_at,
       dispatched_at, published_at, publish_count, started_at, finished_at, lease_until,
       deadline_at, worker, cancel_requested, job_version,
       CAST(NULL AS text) AS payload,
       error_kind, error_message, CAST(NULL AS text) AS error_detail,
       CAST(NULL AS text) AS result,
       CAST(NULL AS text) AS output,
       CAST(NULL AS text) AS progress,
       stands_for
