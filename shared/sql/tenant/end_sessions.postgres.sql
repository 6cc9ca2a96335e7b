-- Ends the sessions that an execution's handler left open, and whatever runs in them. A session can
-- rename itself, but not change its process and start. The search path is the role's own, so every
-- name is qualified; of several arrays, `unnest` is PostgreSQL's own by syntax.
-- Differs because SQLite has no server: a statement ends when its connection interrupts it.
-- Parameters, as arrays of one length: $1 process ids, $2 when the sessions started.
-- Result: how many were ended.
SELECT pg_catalog.count(*) FILTER (WHERE pg_catalog.pg_terminate_backend(activity.pid))
FROM pg_catalog.pg_stat_activity AS activity
JOIN unnest(CAST($1 AS integer[]), CAST($2 AS timestamp with time zone[])) AS ours(pid, started)
    ON activity.pid OPERATOR(pg_catalog.=) ours.pid
   AND activity.backend_start OPERATOR(pg_catalog.=) ours.started
