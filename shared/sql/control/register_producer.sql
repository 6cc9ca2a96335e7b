-- A producer process says that it lives, and how many tenants it watches.
INSERT INTO polychron_producer (name, host, pid, version, watched, poll_seconds, unreachable, started_at, seen_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)
ON CONFLICT (name) DO UPDATE
SET watched = excluded.watched, poll_seconds = excluded.poll_seconds,
    unreachable = excluded.unreachable, seen_at = excluded.seen_at
