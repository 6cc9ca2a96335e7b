-- What running handlers have put out and how far they have come, while they are at it.
-- Guarded by the worker that holds the rows: a final row never changes.
-- (ANY of one: see claim.postgres.sql.)
-- Differs because PostgreSQL takes a batch as arrays.
UPDATE polychron_job_execution e SET output = i.output, progress = i.progress::jsonb
FROM unnest($1::uuid[], $2::text[], $3::text[]) AS i(id, output, progress)
WHERE e.id = ANY(ARRAY[i.id]) AND e.status = 'running' AND e.worker = $4
