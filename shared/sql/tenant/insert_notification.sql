-- A notification: a row that is due at once. None if something has this very time already.
INSERT INTO polychron_job_execution (id, job_id, scheduled_for, trigger, status, available_at, payload)
VALUES ($1, $2, $3, 'manual', 'scheduled', $3, $4)
ON CONFLICT DO NOTHING
