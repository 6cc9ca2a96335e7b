-- Reads what identifies this session. The search path is the role's own, so every name is qualified.
-- Differs because SQLite has no server, and so no sessions.
-- Result: the process id, and when the session started; null if the server hides it.
SELECT pg_catalog.pg_backend_pid(),
       (SELECT activity.backend_start
        FROM pg_catalog.pg_stat_activity AS activity
        WHERE activity.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid())
