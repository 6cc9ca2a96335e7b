-- Views by the names that the tables had before. SQLite's views are for reading only.

CREATE VIEW IF NOT EXISTS job AS SELECT * FROM polychron_job;
CREATE VIEW IF NOT EXISTS job_execution AS SELECT * FROM polychron_job_execution;
