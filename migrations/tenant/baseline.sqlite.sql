-- A tenant's tables in a new database: what the migrations up to 0004 make of an empty one. A new
-- database does not run those, because they name tables `job` and `job_execution`, which may be the application's.
-- A test holds the two alike.
-- Times are RFC 3339 text in UTC, which compares as text; ids are hyphenated text.
-- Applications write here with SQLite libraries of their own, so only functions of version 3.37 (2021)
-- are used, the first that has STRICT.

-- One row, written when the tenant is added. Every dispatch compares and sets `dispatch_no`: of two
-- producers at one tenant exactly one wins, and the other polls again.
CREATE TABLE polychron_identity (
    only_row    INTEGER NOT NULL PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
    tenant_id   TEXT    NOT NULL,
    dispatch_no INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE polychron_job (
    id                    INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    name                  TEXT    NOT NULL UNIQUE
                          CONSTRAINT "name has 1 to 200 characters" CHECK (length(name) BETWEEN 1 AND 200),
    job_type              TEXT    NOT NULL
                          CONSTRAINT "job_type has 1 to 100 characters"
                          CHECK (length(job_type) BETWEEN 1 AND 100),
    payload               TEXT    NOT NULL DEFAULT '{}'
                          CONSTRAINT "payload is JSON" CHECK (json_valid(payload))
                          CONSTRAINT "payload is at most 64 KiB"
                          CHECK (length(CAST(payload AS BLOB)) <= 65536),
    schedule              TEXT    NOT NULL
                          CONSTRAINT "schedule is a JSON object of at most 4 KiB"
                          CHECK (json_valid(schedule) AND json_type(schedule) = 'object'
                                 AND length(CAST(schedule AS BLOB)) <= 4096),
    is_enabled            INTEGER NOT NULL DEFAULT 1
                          CONSTRAINT "is_enabled is 0 or 1" CHECK (is_enabled IN (0, 1)),
    next_run_at           TEXT
                          CONSTRAINT "next_run_at is written like 2026-12-01T09:00:00+00:00"
                          -- Old versions accept 30 February unless a modifier makes them compute with it.
                          CHECK (strftime('%Y-%m-%dT%H:%M:%S', next_run_at) IS substr(next_run_at, 1, 19)
                                 AND next_run_at GLOB '*+00:00'
                                 AND date(substr(next_run_at, 1, 10), '+0 days') IS substr(next_run_at, 1, 10)
                                 OR next_run_at IS NULL),
    queue                 TEXT    NOT NULL DEFAULT 'default'
                          CONSTRAINT "queue is 1 to 64 of a-z, 0-9, _ and -"
                          CHECK (length(queue) BETWEEN 1 AND 64 AND queue NOT GLOB '*[^a-z0-9_-]*'),
    timeout_seconds       INTEGER
                          CONSTRAINT "timeout_seconds is null or 1 to 2592000"
                          CHECK (timeout_seconds BETWEEN 1 AND 2592000),
    max_attempts          INTEGER NOT NULL DEFAULT 3
                          CONSTRAINT "max_attempts is 1 to 100" CHECK (max_attempts BETWEEN 1 AND 100),
    retry_base_seconds    INTEGER NOT NULL DEFAULT 10
                          CONSTRAINT "retry_base_seconds is 0 to 3600"
                          CHECK (retry_base_seconds BETWEEN 0 AND 3600),
    misfire_policy        TEXT    NOT NULL DEFAULT 'run_once'
                          CONSTRAINT "misfire_policy is run_once, run_all or skip"
                          CHECK (misfire_policy IN ('run_once', 'run_all', 'skip')),
    misfire_grace_seconds INTEGER NOT NULL DEFAULT 60
                          CONSTRAINT "misfire_grace_seconds is 1 to 31536000"
                          CHECK (misfire_grace_seconds BETWEEN 1 AND 31536000),
    overlap_policy        TEXT    NOT NULL DEFAULT 'skip'
                          CONSTRAINT "overlap_policy is skip, queue or allow"
                          CHECK (overlap_policy IN ('skip', 'queue', 'allow')),
    orphan_policy         TEXT    NOT NULL DEFAULT 'retry'
                          CONSTRAINT "orphan_policy is retry or fail"
                          CHECK (orphan_policy IN ('retry', 'fail')),
    version               INTEGER NOT NULL DEFAULT 1
                          CONSTRAINT "version is at least 1" CHECK (version BETWEEN 1 AND 2147483647),
    schedule_since        TEXT,
    quarantined_reason    TEXT,
    created_at            TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    updated_at            TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    -- Occurrences up to this time may be missing from the history: they were pruned.
    pruned_until          TEXT,
    -- Who is notified of this job's final failure, lateness and recovery. Null: whom the tenant names
    -- for all its jobs; {}: no one; else {"url": ...} with "headers", "signing_secret" and "on".
    notify                TEXT
                          CONSTRAINT "notify is null or a JSON object of at most 4 KiB"
                          CHECK (notify IS NULL OR json_valid(notify) AND json_type(notify) = 'object'
                                 AND length(CAST(notify AS BLOB)) <= 4096),
    -- Since when the job fails, and since when it is late; null while it does not. Each change is
    -- notified once.
    failing_since         TEXT,
    late_since            TEXT,
    -- These three are never compared, so CURRENT_TIMESTAMP may be written, too.
    CONSTRAINT "schedule_since, created_at and updated_at are times that begin with a year"
        CHECK ((schedule_since IS NULL OR schedule_since GLOB '[0-9][0-9][0-9][0-9]-*'
                AND datetime(schedule_since) IS NOT NULL)
               AND created_at GLOB '[0-9][0-9][0-9][0-9]-*' AND datetime(created_at) IS NOT NULL
               AND updated_at GLOB '[0-9][0-9][0-9][0-9]-*' AND datetime(updated_at) IS NOT NULL)
) STRICT;

-- One row per start of a handler, never rewritten once final. It outlives its job, so there is no
-- foreign key; a trigger ends what is open when its job is deleted.
CREATE TABLE polychron_job_execution (
    id               TEXT    NOT NULL PRIMARY KEY,
    job_id           INTEGER NOT NULL,
    scheduled_for    TEXT    NOT NULL,
    trigger          TEXT    NOT NULL CHECK (trigger IN ('schedule', 'manual', 'retry', 'rescue')),
    attempt          INTEGER NOT NULL DEFAULT 1 CHECK (attempt >= 1),
    status           TEXT    NOT NULL
                     CHECK (status IN ('scheduled', 'dispatched',
                                       'running', 'success', 'failed', 'cancelled', 'skipped')),
    available_at     TEXT,
    dispatched_at    TEXT,
    published_at     TEXT,
    publish_count    INTEGER NOT NULL DEFAULT 0,
    started_at       TEXT,
    finished_at      TEXT,
    lease_until      TEXT,
    deadline_at      TEXT,
    worker           TEXT,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    job_version      INTEGER,
    payload          TEXT CHECK (payload IS NULL OR json_valid(payload)),
    error_kind       TEXT,
    error_message    TEXT,
    error_detail     TEXT,
    result           TEXT CHECK (result IS NULL OR json_valid(result)),
    output           TEXT,
    stands_for       INTEGER NOT NULL DEFAULT 1,
    -- How far a running execution has come, as its handler reports it:
    -- {"done": 3, "total": 10, "message": "..."}.
    progress         TEXT CHECK (progress IS NULL OR json_valid(progress)),
    UNIQUE (job_id, scheduled_for, attempt),
    CONSTRAINT "a final row has an end, and no other has"
        CHECK ((finished_at IS NOT NULL) = (status IN ('success', 'failed', 'cancelled', 'skipped'))),
    CONSTRAINT "a running row has a worker, a start, a lease and a deadline"
        CHECK (status <> 'running' OR (worker IS NOT NULL AND started_at IS NOT NULL
                                       AND lease_until IS NOT NULL AND deadline_at IS NOT NULL))
) STRICT;

-- What the due query walks.
CREATE INDEX polychron_job_due ON polychron_job (next_run_at) WHERE is_enabled AND quarantined_reason IS NULL;
CREATE INDEX polychron_job_late ON polychron_job (id) WHERE late_since IS NOT NULL;
-- Finds what is open.
CREATE INDEX polychron_job_execution_open ON polychron_job_execution (job_id) WHERE finished_at IS NULL;

-- A changed schedule or switch makes the producer work out the next time anew, from the moment of
-- the edit. The engine's own move that switches a used-up job off clears next_run_at in the same
-- statement, which no edit does.
CREATE TRIGGER polychron_job_edited AFTER UPDATE OF schedule, is_enabled ON polychron_job FOR EACH ROW
    WHEN NEW.schedule IS NOT OLD.schedule
         OR (NEW.is_enabled <> OLD.is_enabled
             AND NOT (OLD.is_enabled AND OLD.next_run_at IS NOT NULL AND NEW.next_run_at IS NULL))
BEGIN
    UPDATE polychron_job
       SET version = OLD.version + 1, next_run_at = NULL, schedule_since = NULL, quarantined_reason = NULL,
           updated_at = strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')
     WHERE id = NEW.id;
END;

-- Executions outlive their job; those that are open end with it. SQLite has one writer at a time, so
-- none can be inserted unseen meanwhile.
CREATE TRIGGER polychron_job_deleted AFTER DELETE ON polychron_job FOR EACH ROW
BEGIN
    UPDATE polychron_job_execution
       SET status = 'cancelled', finished_at = strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'),
           error_kind = 'cancelled', error_message = 'its job was deleted', cancel_requested = 1
     WHERE job_id = OLD.id AND finished_at IS NULL AND status <> 'running';
    UPDATE polychron_job_execution SET cancel_requested = 1
     WHERE job_id = OLD.id AND finished_at IS NULL AND status = 'running';
END;

-- The lowest version that a program must have been built with to use this schema.
ALTER TABLE polychron_tenant_migration ADD COLUMN minimum BIGINT NOT NULL DEFAULT 4;
