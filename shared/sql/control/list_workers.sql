-- Lists live consumers.
-- Parameters: $1 seen after.
-- Result: the consumers.
SELECT name, host, pid, version, queues, job_types, slots, running, started_at, seen_at, handlers
FROM polychron_worker
WHERE seen_at > $1
ORDER BY started_at, name
