-- One row per producer process, renewed every few seconds: those who are heard of divide the tenants
-- among themselves. A table of its own, because programs that know only `worker` take each of its
-- rows for a consumer. `unreachable`: tenants whose database this one cannot use; others may.

CREATE TABLE producer (
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
