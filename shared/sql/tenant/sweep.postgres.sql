-- Takes unheard rows for another publish; guarded by publish_count, so that of two sweepers one wins.
-- Rows are locked in the order of their ids, as in every batch, so that no two can deadlock.
-- Differs because PostgreSQL takes a batch as arrays.
WITH locked AS MATERIALIZED (
    SELECT id FROM polychron_job_execution WHERE id = ANY($1::uuid[]) AND finished_at IS NULL ORDER BY id FOR NO KEY UPDATE
)
UPDATE polychron_job_execution e SET published_at = $3, publish_count = e.publish_count + 1
FROM locked JOIN unnest($1::uuid[], $2::integer[]) AS s(id, publish_count) USING (id)
WHERE e.id = locked.id AND e.publish_count = s.publish_count AND e.status = 'dispatched'
RETURNING e.id
