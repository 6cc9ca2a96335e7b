-- Registers a consumer, or renews its registration.
-- Parameters: $1 name, $2 host, $3 pid, $4 version, $5 queues, $6 job types, $7 slots, $8 executions
--   running, $9 now, $10 the states of its handler processes.
-- Result: 1 row inserted or changed.
INSERT INTO polychron_worker (
    name, host, pid, version, queues, job_types, slots, running, started_at, seen_at, handlers
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10)
ON CONFLICT (name) DO UPDATE
SET job_types = excluded.job_types,
    running = excluded.running,
    seen_at = excluded.seen_at,
    handlers = excluded.handlers
