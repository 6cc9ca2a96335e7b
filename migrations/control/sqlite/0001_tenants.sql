-- The control database: which tenants there are, and which consumers serve them.
-- Times are RFC 3339 text in UTC, so that they compare as text; ids are hyphenated text.

CREATE TABLE tenant (
    id           TEXT    NOT NULL PRIMARY KEY,
    slug         TEXT    NOT NULL UNIQUE
                 CONSTRAINT "slug is 1 to 63 of a-z, 0-9 and -, and begins with a letter or digit"
                 CHECK (length(slug) BETWEEN 1 AND 63 AND slug NOT GLOB '*[^a-z0-9-]*' AND slug NOT GLOB '-*'),
    name         TEXT    NOT NULL,
    status       TEXT    NOT NULL DEFAULT 'active'
                 CONSTRAINT "status is active or suspended" CHECK (status IN ('active', 'suspended')),
    database_url TEXT    NOT NULL,
    max_running  INTEGER
                 CONSTRAINT "max_running is null or at least 1" CHECK (max_running >= 1),
    created_at   TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    updated_at   TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'))
) STRICT;

-- One row per consumer process, renewed by its heartbeat: how many slots are live, on which
-- queues, and which job types somebody knows.
CREATE TABLE worker (
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
