-- Dispatches as dispatch.postgres.sql does, but waits for no other session: jobs and waiting rows that
-- another session has locked are left out. Used after that statement has waited for a lock in vain, because
-- to lock rows before they are updated is additional work.
-- Differs because SQLite needs a transaction of several statements.
-- Parameters: $1 dispatch_no read, $2 now;
--   jobs to advance, as arrays: $3 ids, $4 versions read, $5 next_run_at read, $6 next times;
--   rows to insert, as arrays: $7 ids, $8 job ids, $9 scheduled_for, $10 statuses, $11 stands_for,
--   $12 error kinds, $13 error messages; $14 ids of waiting rows to dispatch.
-- Result: one row without ids if the turn was taken, then the ids of rows to publish now, and the jobs
--   that did not move.
WITH turn AS (
    UPDATE polychron_identity
    SET dispatch_no = dispatch_no + 1
    WHERE dispatch_no = $1
    RETURNING dispatch_no
), locked AS MATERIALIZED (
    SELECT j.id, a.version, a.due_at, a.next_run_at
    FROM turn,
         unnest($3::bigint[], $4::integer[], $5::timestamptz[], $6::timestamptz[])
             AS a(id, version, due_at, next_run_at),
         polychron_job j
    WHERE j.id = a.id
      AND j.version = a.version
      AND j.next_run_at = a.due_at
      AND j.is_enabled
    FOR NO KEY UPDATE OF j SKIP LOCKED
), advanced AS (
    UPDATE polychron_job j
    SET next_run_at = a.next_run_at,
        is_enabled = a.next_run_at IS NOT NULL,
        schedule_since = coalesce(j.schedule_since, a.due_at)
    FROM locked a
    WHERE j.id = a.id
      AND j.version = a.version
      AND j.next_run_at = a.due_at
      AND j.is_enabled
    RETURNING j.id
), inserted AS (
    INSERT INTO polychron_job_execution (
        id, job_id, scheduled_for, trigger, status, dispatched_at, finished_at,
        stands_for, error_kind, error_message
    )
    SELECT r.id, r.job_id, r.scheduled_for, 'schedule', r.status,
           CASE WHEN r.status = 'dispatched' THEN $2::timestamptz END,
           CASE WHEN r.status = 'skipped' THEN $2::timestamptz END,
           r.stands_for, r.error_kind, r.error_message
    FROM unnest(
             $7::uuid[], $8::bigint[], $9::timestamptz[], $10::text[],
             $11::integer[], $12::text[], $13::text[]
         ) AS r(id, job_id, scheduled_for, status, stands_for, error_kind, error_message)
    JOIN advanced ON advanced.id = r.job_id
    ON CONFLICT DO NOTHING
    RETURNING id, status
), free AS MATERIALIZED (
    SELECT e.id
    FROM turn, pg_catalog.unnest($14::uuid[]) AS w(id), polychron_job_execution e
    WHERE e.id = w.id
      AND e.status = 'scheduled'
      AND NOT e.cancel_requested
    FOR NO KEY UPDATE OF e SKIP LOCKED
), released AS (
    UPDATE polychron_job_execution e
    SET status = 'dispatched',
        dispatched_at = $2
    FROM free
    WHERE e.id = free.id
      AND e.status = 'scheduled'
      AND NOT e.cancel_requested
    RETURNING e.id
)
SELECT NULL::uuid AS id, NULL::bigint AS unmoved FROM turn
UNION ALL SELECT id, NULL FROM inserted WHERE status = 'dispatched'
UNION ALL SELECT id, NULL FROM released
UNION ALL SELECT NULL, a.id
          FROM turn, pg_catalog.unnest($3::bigint[]) AS a(id)
          WHERE a.id NOT IN (SELECT id FROM advanced)
