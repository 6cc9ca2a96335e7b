-- Finish, second statement: inserts the next attempt's row.
-- Differs because SQLite needs a transaction of several statements.
-- Parameters: $1 id of the attempt that ended, $2 id of the next, $3 its trigger, $4 its available_at.
-- Result: 1 row inserted; 0: it exists already.
INSERT INTO polychron_job_execution (
    id, job_id, scheduled_for, trigger, attempt, status, available_at, payload
)
SELECT $2, job_id, scheduled_for, $3, attempt + 1, 'scheduled', $4, payload
FROM polychron_job_execution
WHERE id = $1
ON CONFLICT DO NOTHING
