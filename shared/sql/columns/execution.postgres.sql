SELECT e.id, e.job_id,
       CASE WHEN octet_length(j.name) > 800 THEN '(too long)' ELSE j.name END AS job_name,
       e.scheduled_for,
       CASE WHEN octet_length(e.trigger) <= 20 THEN e.trigger END AS trigger,
       e.attempt,
       CASE WHEN octet_length(e.status) <= 20 THEN e.status END AS status,
       e.available_at, e.dispatched_at, e.published_at, e.publish_count, e.started_at, e.finished_at,
       e.lease_until,
       e.deadline_at,
       CASE WHEN octet_length(e.worker) > 400 THEN '(too long)' ELSE e.worker END AS worker,
       e.cancel_requested, e.job_version,
       CASE WHEN octet_length(CAST(e.payload AS text)) > 131072 THEN '"(too long)"'
            ELSE CAST(e.payload AS text) END AS payload,
       CASE WHEN octet_length(e.error_kind) > 40 THEN '(too long)' ELSE e.error_kind END AS error_kind,
       CASE WHEN octet_length(e.error_message) > 65536 THEN '(too long)'
            ELSE e.error_message END AS error_message,
       CASE WHEN octet_length(e.error_detail) > 131072 THEN '(too long)'
            ELSE e.error_detail END AS error_detail,
       CASE WHEN octet_length(CAST(e.result AS text)) > 131072 THEN '"(too long)"'
            ELSE CAST(e.result AS text) END AS result,
       CASE WHEN octet_length(e.output) > 131072 THEN '(too long)' ELSE e.output END AS output,
       CASE WHEN octet_length(CAST(e.progress AS text)) > 65536 THEN '"(too long)"'
            ELSE CAST(e.progress AS text) END AS progress,
       e.stands_for
