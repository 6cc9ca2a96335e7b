-- Stores the output and progress of running handlers. Guarded by the worker that holds the rows: a
-- final row never changes.
-- Differs because PostgreSQL takes a batch as arrays.
-- Parameters: $1 JSON array of objects with id, output and progress, $2 worker.
-- Result: rows changed.
UPDATE polychron_job_execution
SET output = i.value ->> 'output',
    progress = i.value -> 'progress'
FROM json_each($1) i
WHERE polychron_job_execution.id = i.value ->> 'id'
  AND status = 'running'
  AND worker = $2
