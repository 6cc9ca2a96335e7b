-- What the role may do in the schema $1, or else where it creates tables: the schema's name, whether it
-- exists, whether the role may create tables there, and the statements that would let it do so, or
-- create the schema.
-- Differs because SQLite has neither schemas nor roles.
WITH place AS (
    SELECT coalesce($1, current_schema()::text) AS name
), found AS (
    SELECT place.name, CAST(to_regnamespace(quote_ident(place.name)) AS oid) AS oid FROM place
)
SELECT name, oid IS NOT NULL,
       coalesce(has_schema_privilege(oid, 'USAGE') AND has_schema_privilege(oid, 'CREATE'), false),
       format('GRANT USAGE, CREATE ON SCHEMA %I TO %I', name, current_user),
       format('GRANT CREATE ON DATABASE %I TO %I', current_database(), current_user)
FROM found
