-- A manual run: a row that is due at once and heeds neither misfire nor overlap.
INSERT INTO polychron_job_execution (id, job_id, scheduled_for, trigger, status, available_at, payload)
SELECT $1, id, $3, 'manual', 'scheduled', $3, $4 FROM polychron_job WHERE name = $2
