-- The end of running rows that no next attempt follows, which is how nearly all end: what finish.sql
-- does with them, without what births next attempts. Only a worker ends its rows by it.
-- Rows are updated in the order of the arrays, which is that of their ids, as in every batch, so that
-- no two can deadlock. (ANY of one: see claim.postgres.sql.)
-- Differs because SQLite ends rows one by one, and inserts what follows by a statement of its own anyway.
UPDATE polychron_job_execution e
SET status = i.status, finished_at = $10, error_kind = i.error_kind, error_message = i.error_message,
    error_detail = i.error_detail, result = i.result::jsonb, output = coalesce(i.output, e.output),
    progress = coalesce(i.progress::jsonb, e.progress)
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
            $9::text[])
     AS i(id, worker, status, error_kind, error_message, error_detail, result, output, progress)
WHERE e.id = ANY(ARRAY[i.id]) AND e.status = 'running' AND e.worker = i.worker
RETURNING e.id, false AS followed,
          EXISTS (SELECT 1 FROM polychron_job_execution w WHERE w.job_id = e.job_id AND w.finished_at IS NULL
                                                  AND w.status = 'scheduled') AS freed
