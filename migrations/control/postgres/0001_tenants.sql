-- The control database: which tenants there are, and which consumers serve them.

CREATE TABLE tenant (
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
    updated_at   timestamptz NOT NULL DEFAULT now()
);

-- One row per consumer process, renewed by its heartbeat: how many slots are live, on which
-- queues, and which job types somebody knows.
CREATE TABLE worker (
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
