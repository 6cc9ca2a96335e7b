-- Stores the output and progress of running handlers. Guarded by the worker that holds the rows: a
-- final row never changes. A row that another session has locked keeps what it has: its next report or its
-- result brings all of it. For `= ANY(ARRAY[x])` see claim.postgres.sql.
-- Differs because PostgreSQL takes a batch as arrays.
-- Parameters, as arrays of one length: $1 execution ids, $2 outputs, $3 progress; $4 worker.
-- Result: rows changed.
WITH locked AS MATERIALIZED (
    SELECT id
    FROM polychron_job_execution
    WHERE id = ANY($1::uuid[])
      AND status = 'running'
      AND worker = $4
    ORDER BY id
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE polychron_job_execution e
SET output = i.output,
    progress = i.progress::jsonb
FROM locked
JOIN unnest($1::uuid[], $2::text[], $3::text[]) AS i(id, output, progress) USING (id)
WHERE e.id = ANY(ARRAY[i.id])
  AND e.status = 'running'
  AND e.worker = $4
