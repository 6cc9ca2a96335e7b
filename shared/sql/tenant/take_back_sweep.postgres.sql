-- Takes back a sweep whose messages came to nothing: the rows stand as if they had never been published,
-- and are swept again soon. Guarded by the sweep's time ($2), so that nobody else's word is undone. Rows
-- are locked in the order of their ids, as in every batch, so that no two can deadlock.
-- Differs because PostgreSQL takes a batch as arrays.
WITH locked AS MATERIALIZED (
    SELECT id FROM polychron_job_execution WHERE id = ANY($1::uuid[]) AND finished_at IS NULL ORDER BY id FOR NO KEY UPDATE
)
UPDATE polychron_job_execution e SET published_at = NULL, publish_count = publish_count - 1
FROM locked
WHERE e.id = locked.id AND status = 'dispatched' AND published_at = $2
