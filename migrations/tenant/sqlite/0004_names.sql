-- A tenant's database is the application's, which may well have a table `job` of its own: whatever
-- is ours has the prefix polychron_ from here on. Only names change. Programs that were built with
-- an older schema cannot use this one, so all of them must have stopped.

DROP TRIGGER polychron_job_edited;
DROP TRIGGER polychron_job_deleted;
DROP INDEX job_due;
DROP INDEX job_late;
DROP INDEX job_execution_open;

ALTER TABLE job RENAME TO polychron_job;
ALTER TABLE job_execution RENAME TO polychron_job_execution;

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

-- The lowest version that a program must have been built with to use this schema. A later migration
-- that older programs do not survive raises it in all rows; the highest counts.
ALTER TABLE polychron_tenant_migration ADD COLUMN minimum BIGINT NOT NULL DEFAULT 4;
