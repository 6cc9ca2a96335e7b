-- The control database may be shared with an application: whatever is ours has the prefix
-- polychron_ from here on. Programs that were built with an older schema cannot use this one, so
-- all of them must have stopped.

ALTER TABLE tenant RENAME TO polychron_tenant;
ALTER TABLE worker RENAME TO polychron_worker;
ALTER TABLE producer RENAME TO polychron_producer;
ALTER TABLE audit RENAME TO polychron_audit;

DROP INDEX audit_tenant;
CREATE INDEX polychron_audit_tenant ON polychron_audit (tenant, id);

-- The schema of the tenant's PostgreSQL database that holds its tables. Null: the first of the
-- role's own search path in which there are any; SQLite has no schemas.
ALTER TABLE polychron_tenant ADD COLUMN schema TEXT;

-- The lowest version that a program must have been built with to use this schema. A later migration
-- that older programs do not survive raises it in all rows; the highest counts.
ALTER TABLE polychron_control_migration ADD COLUMN minimum BIGINT NOT NULL DEFAULT 4;
