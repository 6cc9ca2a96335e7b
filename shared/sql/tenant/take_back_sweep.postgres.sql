-- Takes back a sweep whose messages were not confirmed: the rows count as never published, and are
-- swept again soon. Guarded by the sweep's time, so another sweep is not undone. A locked row is being
-- claimed or finished, or waits as long as after a sweep that succeeded.
-- Differs because PostgreSQL takes a batch as arrays.
-- Parameters: $1 execution ids, $2 the sweep's time.
-- Result: rows changed.
WITH locked AS MATERIALIZED (
    SELECT id
    FROM polychron_job_execution
    WHERE id = ANY($1::uuid[])
      AND finished_at IS NULL
    ORDER BY id
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE polychron_job_execution e
SET published_at = NULL,
    publish_count = publish_count - 1
FROM locked
WHERE e.id = locked.id
  AND status = 'dispatched'
  AND published_at = $2
