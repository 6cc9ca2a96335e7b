-- A consumer process says that it lives, and what it offers.
INSERT INTO polychron_worker (name, host, pid, version, queues, job_types, slots, running, started_at, seen_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)
ON CONFLICT (name) DO UPDATE SET running = excluded.running, seen_at = excluded.seen_at
