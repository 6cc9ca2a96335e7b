-- The producer processes seen since $1.
SELECT name, host, pid, version, watched, poll_seconds, unreachable, started_at, seen_at
FROM polychron_producer WHERE seen_at > $1 ORDER BY started_at, name
