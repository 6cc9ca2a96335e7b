-- Finishes running rows that no attempt follows, as nearly all are: finish.postgres.sql without what
-- inserts next attempts. For workers only; the rescuer uses finish.postgres.sql.
-- Rows are updated in the order of the arrays, that of their ids, as in every batch, so that no two
-- deadlock. For `= ANY(ARRAY[x])` see claim.postgres.sql.
-- Differs because SQLite finishes rows one by one, and inserts next attempts by another statement.
-- Parameters, as arrays of one length: $1 execution ids in order, $2 workers that must hold them,
--   $3 statuses, $4 error kinds, $5 error messages, $6 error details, $7 results, $8 outputs,
--   $9 progress; $10 now.
-- Result: of each row finished its id, `has_next_attempt` (false) and `needs_poll` (a row of the same
--   job waits). Rows that are no longer the worker's are missing.
UPDATE polychron_job_execution e
SET status = i.status,
    finished_at = $10,
    error_kind = i.error_kind,
    error_message = i.error_message,
    error_detail = i.error_detail,
    result = i.result::jsonb,
    output = coalesce(i.output, e.output),
    progress = coalesce(i.progress::jsonb, e.progress)
FROM unnest(
         $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
         $9::text[]
     ) AS i(id, worker, status, error_kind, error_message, error_detail, result, output, progress)
WHERE e.id = ANY(ARRAY[i.id])
  AND e.status = 'running'
  AND e.worker = i.worker
RETURNING e.id,
          false AS has_next_attempt,
          EXISTS (
              SELECT 1
              FROM polychron_job_execution w
              WHERE w.job_id = e.job_id AND w.finished_at IS NULL AND w.status = 'scheduled'
          ) AS needs_poll
