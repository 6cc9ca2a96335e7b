WITH due AS (
    SELECT id, next_run_at FROM polychron_job WHERE next_run_at <= now() ORDER BY next_run_at LIMIT 500 FOR UPDATE SKIP LOCKED
), moved AS (
    UPDATE polychron_job SET next_run_at = due.next_run_at + interval '24 hours' FROM due WHERE polychron_job.id = due.id
    RETURNING polychron_job.id, due.next_run_at AS scheduled_for
)
INSERT INTO polychron_job_execution (id, job_id, scheduled_for, status, dispatched_at)
SELECT gen_random_uuid(), id, scheduled_for, 'dispatched', now() FROM moved RETURNING id
