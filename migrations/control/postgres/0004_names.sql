-- The control database may be shared with an application: whatever is ours has the prefix
-- polychron_ from here on. Programs that were built with an older schema cannot use this one, so
-- all of them must have stopped.

ALTER TABLE tenant RENAME TO polychron_tenant;
ALTER TABLE worker RENAME TO polychron_worker;
ALTER TABLE producer RENAME TO polychron_producer;
ALTER TABLE audit RENAME TO polychron_audit;
ALTER INDEX audit_tenant RENAME TO polychron_audit_tenant;

-- PostgreSQL chose the names of the keys and of the sequence itself. Where a name was taken, it
-- added a number, so look each of them up. Constraints named by a sentence keep it: it is the text
-- of the error, and the name of a check is its table's, where it collides with nothing.
DO $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT conrelid::regclass AS of_table, conname AS name,
               'polychron_' || regexp_replace(conname, '[0-9]+$', '') AS new_name
        FROM pg_constraint
        WHERE conrelid IN ('polychron_tenant'::regclass, 'polychron_worker'::regclass,
                           'polychron_producer'::regclass, 'polychron_audit'::regclass)
          AND conname ~ '^(tenant|worker|producer|audit)_[a-z0-9_]+$'
    LOOP
        EXECUTE format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I',
                       found.of_table, found.name, found.new_name);
    END LOOP;
    EXECUTE format('ALTER SEQUENCE %s RENAME TO polychron_audit_id_seq',
                   pg_get_serial_sequence('polychron_audit', 'id'));
END $$;

-- The schema of the tenant's PostgreSQL database that holds its tables. Null: the first of the
-- role's own search path in which there are any; SQLite has no schemas.
ALTER TABLE polychron_tenant ADD COLUMN schema text;

-- The lowest version that a program must have been built with to use this schema. A later migration
-- that older programs do not survive raises it in all rows; the highest counts.
ALTER TABLE polychron_control_migration ADD COLUMN minimum bigint NOT NULL DEFAULT 4;
