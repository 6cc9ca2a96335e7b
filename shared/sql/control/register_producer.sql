-- Registers a producer, or renews its registration.
-- Parameters: $1 name, $2 host, $3 pid, $4 version, $5 tenants in its partition, $6 poll interval in
--   seconds, $7 tenants whose database it cannot use, $8 now, $9 its
--   time zone rules.
-- Result: 1 row inserted or changed.
INSERT INTO polychron_producer (
    name, host, pid, version, watched, poll_seconds, unreachable, started_at, seen_at,
    zone_rules
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9)
ON CONFLICT (name) DO UPDATE
SET watched = excluded.watched,
    poll_seconds = excluded.poll_seconds,
    unreachable = excluded.unreachable,
    seen_at = excluded.seen_at,
    zone_rules = excluded.zone_rules
