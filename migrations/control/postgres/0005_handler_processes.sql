-- What each consumer knows of its handler processes: an array with an object for each command
-- (docs/handler-processes.md). Consumers of earlier versions write none.

ALTER TABLE polychron_worker ADD COLUMN handlers jsonb NOT NULL DEFAULT '[]';
