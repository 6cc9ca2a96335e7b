-- Finishes running rows and inserts their next attempts, in one transition.
-- All batches lock rows in the order of their ids, so that no two deadlock; before them the jobs of
-- the next attempts, because a deletion locks a job before its rows. For `= ANY(ARRAY[x])` see
-- claim.postgres.sql.
-- Differs because SQLite needs a transaction of several statements.
-- Parameters, as arrays of one length: $1 execution ids in order, $2 workers that must hold them,
--   $3 statuses, $4 error kinds, $5 error messages, $6 error details, $7 results, $8 outputs,
--   $9 progress, $10 ids of the next attempts, $11 their triggers, $12 their available_at;
--   $13 now, $14 for the rescuer: the lease must have ended before; null for a worker.
-- Result: of each row finished its id, `has_next_attempt` (one was inserted) and `needs_poll` (a row of
--   the same job waits). Rows that are no longer the worker's are missing.
WITH i AS MATERIALIZED (
    SELECT *
    FROM unnest(
             $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
             $9::text[], $10::uuid[], $11::text[], $12::timestamptz[]
         ) AS i(id, worker, status, error_kind, error_message, error_detail, result, output, progress,
                next_id, next_trigger, next_available_at)
), parents AS MATERIALIZED (
    SELECT j.id
    FROM polychron_job j
    WHERE j.id = ANY(ARRAY(
        SELECT e.job_id
        FROM i
        JOIN polychron_job_execution e ON e.id = ANY(ARRAY[i.id])
        WHERE i.next_id IS NOT NULL
    ))
    ORDER BY j.id
    FOR KEY SHARE
), locked AS MATERIALIZED (
    SELECT e.id
    FROM polychron_job_execution e
    WHERE (SELECT count(*) FROM parents) >= 0 -- locks all parents before the first row
      AND e.id = ANY($1::uuid[])
      AND e.status = 'running'
    ORDER BY e.id
    FOR NO KEY UPDATE
), ended AS (
    UPDATE polychron_job_execution e
    SET status = i.status,
        finished_at = $13,
        error_kind = i.error_kind,
        error_message = i.error_message,
        error_detail = i.error_detail,
        result = i.result::jsonb,
        output = coalesce(i.output, e.output),
        progress = coalesce(i.progress::jsonb, e.progress)
    FROM locked
    JOIN i USING (id)
    WHERE e.id = ANY(ARRAY[i.id])
      AND e.status = 'running'
      AND e.worker = i.worker
      AND ($14::timestamptz IS NULL OR e.lease_until < $14)
    RETURNING e.id, e.job_id, e.scheduled_for, e.attempt, e.payload, e.cancel_requested,
              i.next_id, i.next_trigger, i.next_available_at
), next AS (
    INSERT INTO polychron_job_execution (
        id, job_id, scheduled_for, trigger, attempt, status, available_at, payload
    )
    SELECT next_id, job_id, scheduled_for, next_trigger, attempt + 1, 'scheduled', next_available_at, payload
    FROM ended
    WHERE next_id IS NOT NULL
      AND NOT cancel_requested
    ON CONFLICT DO NOTHING
    RETURNING id
)
SELECT ended.id,
       next.id IS NOT NULL AS has_next_attempt,
       EXISTS (
           SELECT 1
           FROM polychron_job_execution w
           WHERE w.job_id = ended.job_id AND w.finished_at IS NULL AND w.status = 'scheduled'
       ) AS needs_poll
FROM ended
LEFT JOIN next ON next.id = ended.next_id
