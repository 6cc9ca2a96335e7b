-- Starts a manual run with the payload of a final execution.
-- Parameters: $1 that execution's id, $2 the new execution's id, $3 now.
-- Result: 1 row inserted; 0: the execution is unknown or not final, or its job was deleted.
INSERT INTO polychron_job_execution (id, job_id, scheduled_for, trigger, status, available_at, payload)
SELECT $2, e.job_id, $3, 'manual', 'scheduled', $3, e.payload
FROM polychron_job_execution e
JOIN polychron_job j ON j.id = e.job_id
WHERE e.id = $1
  AND e.finished_at IS NOT NULL
