-- Views by the names that the tables had before, for reading only. Made anew each time, they show the
-- columns that later migrations add.

CREATE OR REPLACE VIEW job AS SELECT * FROM polychron_job;
DROP TRIGGER IF EXISTS polychron_read_only ON job;
CREATE TRIGGER polychron_read_only INSTEAD OF INSERT OR UPDATE OR DELETE ON job FOR EACH ROW
    EXECUTE FUNCTION polychron_refuse('job is a view, for reading only: write to polychron_job');

CREATE OR REPLACE VIEW job_execution AS SELECT * FROM polychron_job_execution;
DROP TRIGGER IF EXISTS polychron_read_only ON job_execution;
CREATE TRIGGER polychron_read_only INSTEAD OF INSERT OR UPDATE OR DELETE ON job_execution FOR EACH ROW
    EXECUTE FUNCTION polychron_refuse('job_execution is a view, for reading only');
