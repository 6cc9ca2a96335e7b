-- Sweeps: takes rows for another publish. Guarded by publish_count, so of two sweepers one wins.
-- A locked row is being claimed or finished, or stays for the next sweep.
-- Differs because PostgreSQL takes a batch as arrays.
-- Parameters: $1 execution ids, $2 publish counts read (arrays of one length), $3 now.
-- Result: the ids to publish.
WITH locked AS MATERIALIZED (
    SELECT id
    FROM polychron_job_execution
    WHERE id = ANY($1::uuid[])
      AND finished_at IS NULL
    ORDER BY id
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE polychron_job_execution e
SET published_at = $3,
    publish_count = e.publish_count + 1
FROM locked
JOIN unnest($1::uuid[], $2::integer[]) AS s(id, publish_count) USING (id)
WHERE e.id = locked.id
  AND e.publish_count = s.publish_count
  AND e.status = 'dispatched'
RETURNING e.id
