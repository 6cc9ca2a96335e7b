-- Reads where this database lies.
-- Differs because an SQLite file has a path.
-- Result: 1 row: the server's system identifier and the database's oid.
SELECT (SELECT system_identifier::text FROM pg_control_system())
           || '/'::text
           || (SELECT oid::text FROM pg_database WHERE datname = current_database()) AS place,
       NULL::text AS file
