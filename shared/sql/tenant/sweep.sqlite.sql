-- Takes one unheard row for another publish; guarded by publish_count, so that of two sweepers one wins.
-- Differs because PostgreSQL takes a batch as arrays.
UPDATE polychron_job_execution SET published_at = $3, publish_count = publish_count + 1
WHERE id = $1 AND publish_count = $2 AND status = 'dispatched'
RETURNING id
