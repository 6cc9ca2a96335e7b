-- What our functions may do, and for whom. Applications write to polychron_job with roles of their own,
-- and other roles may create tables and functions beside ours.

-- An application's role needs rights on polychron_job only: the end of what is open runs with the
-- rights of this function's owner. So it takes no name from its caller: its search path is this
-- migration's, it serves its own table only, and it casts so exactly that no function or operator in
-- that path can match better than PostgreSQL's own.
CREATE OR REPLACE FUNCTION polychron_job_deleted() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_RELID <> CAST('polychron_job'::regclass AS oid) THEN
        RAISE insufficient_privilege USING MESSAGE = 'polychron_job_deleted() serves polychron_job only';
    END IF;
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

-- A trigger's function needs no right of whoever writes, only of whoever creates the trigger.
REVOKE ALL ON FUNCTION polychron_refuse() FROM PUBLIC;
REVOKE ALL ON FUNCTION polychron_job_edited() FROM PUBLIC;
REVOKE ALL ON FUNCTION polychron_job_deleted() FROM PUBLIC;
REVOKE ALL ON FUNCTION polychron_execution_born() FROM PUBLIC;

-- Only an open row could be missed by the deletion of its job, so history may be loaded before the
-- jobs. pg_restore loads tables in any order, and what it loads is as it was.
DROP TRIGGER polychron_execution_born ON polychron_job_execution;
CREATE TRIGGER polychron_execution_born BEFORE INSERT ON polychron_job_execution FOR EACH ROW
    WHEN (NEW.trigger <> 'schedule' AND NEW.finished_at IS NULL
          AND current_setting('application_name') <> 'pg_restore')
    EXECUTE FUNCTION polychron_execution_born();
