-- Exercises the rights that the engine needs, on no rows. It fails if one is missing, and in a read-only
-- database or session.
-- Differs because SQLite has no rights, and changes one table in a statement.
-- Result: 1 row.
WITH job_inserted AS (
    INSERT INTO polychron_job (name, job_type, schedule)
    SELECT name, job_type, schedule
    FROM polychron_job
    WHERE false
), job_updated AS (
    UPDATE polychron_job
    SET next_run_at = next_run_at,
        is_enabled = is_enabled,
        schedule_since = schedule_since,
        quarantined_reason = quarantined_reason,
        pruned_until = pruned_until,
        failing_since = failing_since,
        late_since = late_since
    WHERE false
), execution_inserted AS (
    INSERT INTO polychron_job_execution (id, job_id, scheduled_for, trigger, status)
    SELECT id, job_id, scheduled_for, trigger, status
    FROM polychron_job_execution
    WHERE false
), execution_updated AS (
    UPDATE polychron_job_execution
    SET status = status,
        finished_at = finished_at
    WHERE false
), execution_deleted AS (
    DELETE FROM polychron_job_execution
    WHERE false
), turn AS (
    UPDATE polychron_identity
    SET dispatch_no = dispatch_no
    WHERE false
)
SELECT true AS exercised
