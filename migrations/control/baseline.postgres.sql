-- The control database's tables in a new database: what the migrations up to 0004 make of an empty
-- one. A new database does not run those, because they name tables without our prefix, which may be
-- an application's. A test holds the two alike.

CREATE TABLE polychron_tenant (
    id           uuid        PRIMARY KEY,
    slug         text        NOT NULL UNIQUE
                 CONSTRAINT "slug is 1 to 63 of a-z, 0-9 and -, and begins with a letter or digit"
                 CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    name         text        NOT NULL,
    status       text        NOT NULL DEFAULT 'active'
                 CONSTRAINT "status is active or suspended" CHECK (status IN ('active', 'suspended')),
    database_url text        NOT NULL,
    max_running  integer
                 CONSTRAINT "max_running is null or at least 1" CHECK (max_running >= 1),
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    -- The schema of the tenant's PostgreSQL database that holds its tables. Null: the first of the
    -- role's own search path in which there are any; SQLite has no schemas.
    schema       text
);

-- One row per consumer process, renewed every few seconds: how many slots are live, on which queues,
-- and which job types have a handler.
CREATE TABLE polychron_worker (
    name       text        PRIMARY KEY,
    host       text        NOT NULL,
    pid        integer     NOT NULL,
    version    text        NOT NULL,
    queues     jsonb       NOT NULL,
    job_types  jsonb       NOT NULL,
    slots      integer     NOT NULL,
    running    integer     NOT NULL,
    started_at timestamptz NOT NULL,
    seen_at    timestamptz NOT NULL
);

-- Who changed what, and why. A row is written before its change and completed after it, so every
-- change has one. `after` is null if the change was refused or failed.
CREATE TABLE polychron_audit (
    id     bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     timestamptz NOT NULL,
    actor  text        NOT NULL,
    action text        NOT NULL,
    tenant text,
    target text,
    before jsonb,
    after  jsonb,
    reason text
);

CREATE INDEX polychron_audit_tenant ON polychron_audit (tenant, id);

-- One row per producer process, renewed every few seconds: the live ones divide the tenants among
-- themselves. `unreachable`: tenants whose database this one cannot use; others may.
CREATE TABLE polychron_producer (
    name         text        PRIMARY KEY,
    host         text        NOT NULL,
    pid          integer     NOT NULL,
    version      text        NOT NULL,
    watched      integer     NOT NULL,
    poll_seconds integer     NOT NULL,
    unreachable  jsonb       NOT NULL,
    started_at   timestamptz NOT NULL,
    seen_at      timestamptz NOT NULL
);

-- The lowest version that a program must have been built with to use this schema.
ALTER TABLE polychron_control_migration ADD COLUMN minimum bigint NOT NULL DEFAULT 4;
