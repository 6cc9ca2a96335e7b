-- Takes back a sweep whose messages were not confirmed: the rows count as never published, and are
-- swept again soon. Guarded by the sweep's time, so another sweep is not undone.
-- Differs because PostgreSQL takes a batch as arrays.
-- Parameters: $1 execution ids (JSON array), $2 the sweep's time.
-- Result: rows changed.
UPDATE polychron_job_execution
SET published_at = NULL,
    publish_count = publish_count - 1
WHERE id IN (SELECT value FROM json_each($1))
  AND status = 'dispatched'
  AND published_at = $2
