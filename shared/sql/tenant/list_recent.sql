-- The newest executions, without what may be long, not older than the id $1. Ids begin with the time
-- of their making.
SELECT id, status, trigger, scheduled_for, started_at, finished_at
FROM polychron_job_execution WHERE id >= $1 ORDER BY id DESC LIMIT $2
