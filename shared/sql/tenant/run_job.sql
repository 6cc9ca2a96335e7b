-- A manual run: a row that is due at once and heeds neither misfire nor overlap.
INSERT INTO job_execution (id, job_id, scheduled_for, trigger, status, available_at, payload)
SELECT $1, id, $3, 'manual', 'scheduled', $3, $4 FROM job WHERE name = $2
