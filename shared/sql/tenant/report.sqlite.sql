-- What running handlers have put out and how far they have come, while they are at it.
-- Guarded by the worker that holds the rows: a final row never changes.
-- Differs because PostgreSQL takes a batch as arrays.
UPDATE polychron_job_execution SET output = i.value ->> 'output', progress = i.value -> 'progress'
FROM json_each($1) i
WHERE polychron_job_execution.id = i.value ->> 'id' AND status = 'running' AND worker = $2
