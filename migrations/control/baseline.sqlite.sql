-- The control database's tables in a new database: what the migrations up to 0004 make of an empty
-- one. A new database does not run those, because they name tables without our prefix, which may be
-- an application's. A test holds the two alike.
-- Times are RFC 3339 text in UTC, which compares as text; ids are hyphenated text.

CREATE TABLE polychron_tenant (
    id           TEXT    NOT NULL PRIMARY KEY,
    slug         TEXT    NOT NULL UNIQUE
                 CONSTRAINT "slug is 1 to 63 of a-z, 0-9 and -, and begins with a letter or digit"
                 CHECK (length(slug) BETWEEN 1 AND 63 AND slug NOT GLOB '*[^a-z0-9-]*'
                        AND slug NOT GLOB '-*'),
    name         TEXT    NOT NULL,
    status       TEXT    NOT NULL DEFAULT 'active'
                 CONSTRAINT "status is active or suspended" CHECK (status IN ('active', 'suspended')),
    database_url TEXT    NOT NULL,
    max_running  INTEGER
                 CONSTRAINT "max_running is null or at least 1" CHECK (max_running >= 1),
    created_at   TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    updated_at   TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    -- The schema of the tenant's PostgreSQL database that holds its tables. Null: the first of the
    -- role's own search path in which there are any; SQLite has no schemas.
    schema       TEXT
) STRICT;

-- One row per consumer process, renewed every few seconds: how many slots are live, on which queues,
-- and which job types have a handler.
CREATE TABLE polychron_worker (
    name       TEXT    NOT NULL PRIMARY KEY,
    host       TEXT    NOT NULL,
    pid        INTEGER NOT NULL,
    version    TEXT    NOT NULL,
    queues     TEXT    NOT NULL,
    job_types  TEXT    NOT NULL,
    slots      INTEGER NOT NULL,
    running    INTEGER NOT NULL,
    started_at TEXT    NOT NULL,
    seen_at    TEXT    NOT NULL
) STRICT;

-- Who changed what, and why. A row is written before its change and completed after it, so every
-- change has one. `after` is null if the change was refused or failed.
CREATE TABLE polychron_audit (
    id     INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at     TEXT    NOT NULL,
    actor  TEXT    NOT NULL,
    action TEXT    NOT NULL,
    tenant TEXT,
    target TEXT,
    before TEXT CHECK (json_valid(before)),
    after  TEXT CHECK (json_valid(after)),
    reason TEXT
) STRICT;

CREATE INDEX polychron_audit_tenant ON polychron_audit (tenant, id);

-- One row per producer process, renewed every few seconds: the live ones divide the tenants among
-- themselves. `unreachable`: tenants whose database this one cannot use; others may.
CREATE TABLE polychron_producer (
    name         TEXT    NOT NULL PRIMARY KEY,
    host         TEXT    NOT NULL,
    pid          INTEGER NOT NULL,
    version      TEXT    NOT NULL,
    watched      INTEGER NOT NULL,
    poll_seconds INTEGER NOT NULL,
    unreachable  TEXT    NOT NULL,
    started_at   TEXT    NOT NULL,
    seen_at      TEXT    NOT NULL
) STRICT;

-- The lowest version that a program must have been built with to use this schema.
ALTER TABLE polychron_control_migration ADD COLUMN minimum BIGINT NOT NULL DEFAULT 4;
