-- Takes unheard rows for another publish; guarded by publish_count, so that of two sweepers one wins.
-- Differs because PostgreSQL takes a batch as arrays.
UPDATE job_execution e SET published_at = $3, publish_count = e.publish_count + 1
FROM unnest($1::uuid[], $2::integer[]) AS s(id, publish_count)
WHERE e.id = s.id AND e.publish_count = s.publish_count AND e.status = 'dispatched'
RETURNING e.id
