-- Whether this session's role is a superuser.
-- Differs because SQLite has no roles.
-- Result: 1 row: is_superuser.
SELECT current_setting('is_superuser'::text) OPERATOR(pg_catalog.=) 'on'::text AS is_superuser
