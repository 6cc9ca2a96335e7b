SELECT e.id, e.job_id, j.name AS job_name, e.scheduled_for, e.trigger, e.attempt, e.status, e.available_at,
       e.dispatched_at, e.published_at, e.publish_count, e.started_at, e.finished_at, e.lease_until,
       e.deadline_at, e.worker, e.cancel_requested, e.job_version,
       CAST(e.payload AS text) AS payload,
       e.error_kind, e.error_message, e.error_detail,
       CAST(e.result AS text) AS result,
       e.output,
       CAST(e.progress AS text) AS progress,
       e.stands_for
