-- Second statement of the end of a running row: the next attempt's row.
-- Differs because SQLite needs a transaction of several statements.
INSERT INTO polychron_job_execution (id, job_id, scheduled_for, trigger, attempt, status, available_at, payload)
SELECT $2, job_id, scheduled_for, $3, attempt + 1, 'scheduled', $4, payload FROM polychron_job_execution WHERE id = $1
ON CONFLICT DO NOTHING
