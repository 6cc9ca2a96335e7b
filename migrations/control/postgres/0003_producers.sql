-- One row per producer process, renewed every few seconds: those who are heard of divide the tenants
-- among themselves. A table of its own, because programs that know only `worker` take each of its
-- rows for a consumer. `unreachable`: tenants whose database this one cannot use; others may.

CREATE TABLE producer (
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
