-- A tenant's database is the application's, which may well have a table `job` of its own: whatever
-- is ours has the prefix polychron_ from here on. Only names change. Programs that were built with
-- an older schema cannot use this one, so all of them must have stopped.

ALTER TABLE job RENAME TO polychron_job;
ALTER TABLE job_execution RENAME TO polychron_job_execution;
ALTER INDEX job_due RENAME TO polychron_job_due;
ALTER INDEX job_late RENAME TO polychron_job_late;
ALTER INDEX job_execution_open RENAME TO polychron_job_execution_open;

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
        WHERE conrelid IN ('polychron_job'::regclass, 'polychron_job_execution'::regclass)
          AND conname ~ '^job_[a-z0-9_]+$'
    LOOP
        EXECUTE format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I',
                       found.of_table, found.name, found.new_name);
    END LOOP;
    EXECUTE format('ALTER SEQUENCE %s RENAME TO polychron_job_id_seq',
                   pg_get_serial_sequence('polychron_job', 'id'));
END $$;

-- The bodies of these two name tables. A trigger runs in the session of whoever writes, so each
-- function keeps the search path of this migration: it must work whatever the application's path.
CREATE OR REPLACE FUNCTION polychron_job_deleted() RETURNS trigger
    LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    -- Lock in the order of the ids, as every batch of the engine does: no two can deadlock.
    PERFORM 1 FROM polychron_job_execution e
      WHERE finished_at IS NULL AND NOT EXISTS (SELECT 1 FROM polychron_job WHERE id = e.job_id)
      ORDER BY id FOR NO KEY UPDATE;
    UPDATE polychron_job_execution e
       SET status = 'cancelled', finished_at = clock_timestamp(), error_kind = 'cancelled',
           error_message = 'its job was deleted', cancel_requested = true
     WHERE finished_at IS NULL AND status <> 'running'
       AND NOT EXISTS (SELECT 1 FROM polychron_job WHERE id = e.job_id);
    UPDATE polychron_job_execution e SET cancel_requested = true
     WHERE finished_at IS NULL AND status = 'running'
       AND NOT EXISTS (SELECT 1 FROM polychron_job WHERE id = e.job_id);
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION polychron_execution_born() RETURNS trigger
    LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM 1 FROM polychron_job WHERE id = NEW.job_id FOR KEY SHARE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;

-- These name no table, but what they call must be PostgreSQL's own, too.
ALTER FUNCTION polychron_job_edited() SET search_path FROM CURRENT;
ALTER FUNCTION polychron_refuse() SET search_path FROM CURRENT;

-- The lowest version that a program must have been built with to use this schema. A later migration
-- that older programs do not survive raises it in all rows; the highest counts.
ALTER TABLE polychron_tenant_migration ADD COLUMN minimum bigint NOT NULL DEFAULT 4;
