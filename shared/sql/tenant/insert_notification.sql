-- Inserts a notification: an execution that is due at once.
-- Parameters: $1 execution id, $2 the notifier's job id, $3 its time, $4 payload.
-- Result: 1 row inserted; 0: that time is taken, try another.
INSERT INTO polychron_job_execution (id, job_id, scheduled_for, trigger, status, available_at, payload)
VALUES ($1, $2, $3, 'manual', 'scheduled', $3, $4)
ON CONFLICT DO NOTHING
