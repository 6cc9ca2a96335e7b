-- Starts a manual run: due at once, subject to neither misfire nor overlap policy.
-- Parameters: $1 execution id, $2 job name, $3 now, $4 payload, or null for the job's.
-- Result: 1 row inserted; 0: the job is unknown.
INSERT INTO polychron_job_execution (id, job_id, scheduled_for, trigger, status, available_at, payload)
SELECT $1, id, $3, 'manual', 'scheduled', $3, $4
FROM polychron_job
WHERE name = $2
