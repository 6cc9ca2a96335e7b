-- Reads what the role may do in a schema.
-- Differs because SQLite has neither schemas nor roles.
-- Parameters: $1 schema, or null for the one in which the role creates tables.
-- Result: its name, whether it exists, whether the role may create tables there, and the statements
--   that would grant that, or would let it create the schema.
WITH place AS (
    SELECT coalesce($1, current_schema()::text) AS name
), found AS (
    SELECT place.name, CAST(to_regnamespace(quote_ident(place.name)) AS oid) AS oid
    FROM place
)
SELECT name,
       oid IS NOT NULL,
       coalesce(has_schema_privilege(oid, 'USAGE') AND has_schema_privilege(oid, 'CREATE'), false),
       pg_catalog.format('GRANT USAGE, CREATE ON SCHEMA %I TO %I', name, current_user),
       pg_catalog.format('GRANT CREATE ON DATABASE %I TO %I', current_database(), current_user)
FROM found
