-- Lists live producers.
-- Parameters: $1 seen after.
-- Result: the producers.
SELECT name, host, pid, version, watched, poll_seconds, unreachable, started_at, seen_at,
       zone_rules
FROM polychron_producer
WHERE seen_at > $1
ORDER BY started_at, name
