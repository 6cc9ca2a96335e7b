-- The end of running rows, and the birth of the next attempts' rows, in one move. Guarded by the
-- worker that holds the row; the rescuer, who speaks for a lost one, also by the lease's end ($14).
-- `freed`: a row of the same job waits, so the producer should look.
-- Rows are locked in the order of their ids, as in every batch, so that no two can deadlock; before
-- them the jobs of the next attempts' rows, because a deletion locks the job before its rows.
-- (ANY of one: see claim.postgres.sql.)
-- Differs because SQLite needs a transaction of several statements.
WITH i AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                         $9::text[], $10::uuid[], $11::text[], $12::timestamptz[])
         AS i(id, worker, status, error_kind, error_message, error_detail, result, output, progress,
              next_id, next_trigger, next_available_at)
), parents AS MATERIALIZED (
    SELECT j.id FROM polychron_job j
    WHERE j.id = ANY(ARRAY(SELECT e.job_id FROM i JOIN polychron_job_execution e ON e.id = ANY(ARRAY[i.id]) WHERE i.next_id IS NOT NULL))
    ORDER BY j.id FOR KEY SHARE
), locked AS MATERIALIZED (
    SELECT e.id FROM polychron_job_execution e
    WHERE (SELECT count(*) FROM parents) >= 0 -- asked once, before any row is locked
      AND e.id = ANY($1::uuid[]) AND e.status = 'running' ORDER BY e.id FOR NO KEY UPDATE
), ended AS (
    UPDATE polychron_job_execution e
    SET status = i.status, finished_at = $13, error_kind = i.error_kind, error_message = i.error_message,
        error_detail = i.error_detail, result = i.result::jsonb, output = coalesce(i.output, e.output),
        progress = coalesce(i.progress::jsonb, e.progress)
    FROM locked JOIN i USING (id)
    WHERE e.id = ANY(ARRAY[i.id]) AND e.status = 'running' AND e.worker = i.worker
      AND ($14::timestamptz IS NULL OR e.lease_until < $14)
    RETURNING e.id, e.job_id, e.scheduled_for, e.attempt, e.payload, e.cancel_requested,
              i.next_id, i.next_trigger, i.next_available_at
), next AS (
    INSERT INTO polychron_job_execution (id, job_id, scheduled_for, trigger, attempt, status, available_at, payload)
    SELECT next_id, job_id, scheduled_for, next_trigger, attempt + 1, 'scheduled', next_available_at, payload
    FROM ended WHERE next_id IS NOT NULL AND NOT cancel_requested
    ON CONFLICT DO NOTHING
    RETURNING id
)
SELECT ended.id, next.id IS NOT NULL AS followed,
       EXISTS (SELECT 1 FROM polychron_job_execution w WHERE w.job_id = ended.job_id AND w.finished_at IS NULL
                                               AND w.status = 'scheduled') AS freed
FROM ended LEFT JOIN next ON next.id = ended.next_id
