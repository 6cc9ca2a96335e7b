-- Reads how many sessions the server gives to ordinary roles, and how many are open.
-- Differs because SQLite has no server.
-- Result: 1 row: the server's limit, the limits of this role and this database (-1: none), and the number of
--   sessions of all programs.
SELECT current_setting('max_connections'::text)::integer
           - current_setting('superuser_reserved_connections'::text)::integer AS server,
       (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user) AS role,
       (SELECT datconnlimit FROM pg_database WHERE datname = current_database()) AS database,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS sessions
