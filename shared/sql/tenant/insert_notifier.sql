-- Inserts the job whose executions are notifications. It has no occurrences of its own. Attempts at a
-- notification go on for some hours; its own failure notifies nobody.
-- Parameters: $1 name, $2 job_type.
-- Result: 1 row inserted; 0: it exists.
INSERT INTO polychron_job (
    name, job_type, schedule, is_enabled, timeout_seconds, max_attempts, retry_base_seconds, notify
)
VALUES ($1, $2, '{"at": "2000-01-01T00:00:00Z"}', false, 60, 12, 30, '{}')
ON CONFLICT DO NOTHING
