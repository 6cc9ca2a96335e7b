-- Stores the output and progress of running handlers. Guarded by the worker that holds the rows: a
-- final row never changes. For `= ANY(ARRAY[x])` see claim.postgres.sql.
-- Differs because PostgreSQL takes a batch as arrays.
-- Parameters, as arrays of one length: $1 execution ids, $2 outputs, $3 progress; $4 worker.
-- Result: rows changed.
UPDATE polychron_job_execution e
SET output = i.output,
    progress = i.progress::jsonb
FROM unnest($1::uuid[], $2::text[], $3::text[]) AS i(id, output, progress)
WHERE e.id = ANY(ARRAY[i.id])
  AND e.status = 'running'
  AND e.worker = $4
