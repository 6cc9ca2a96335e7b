-- Precedes the baseline. A tool that drops the tables it does not know (Alembic's autogenerate, for example)
-- leaves their trigger functions, and the baseline could not create them again.
DROP FUNCTION IF EXISTS
    polychron_refuse(),
    polychron_job_edited(),
    polychron_job_deleted(),
    polychron_execution_born();

