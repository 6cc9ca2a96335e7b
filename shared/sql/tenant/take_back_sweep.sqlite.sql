-- Takes back a sweep whose messages came to nothing: the rows stand as if they had never been published,
-- and are swept again soon. Guarded by the sweep's time ($2), so that nobody else's word is undone.
-- Differs because PostgreSQL takes a batch as arrays.
UPDATE polychron_job_execution SET published_at = NULL, publish_count = publish_count - 1
WHERE id IN (SELECT value FROM json_each($1)) AND status = 'dispatched' AND published_at = $2
