-- Dispatched rows that may need another message: never confirmed since before $1, or last
-- published before $2.
SELECT e.id, e.scheduled_for, e.attempt, e.published_at, e.publish_count, j.name, j.job_type, j.queue
FROM job_execution e JOIN job j ON j.id = e.job_id
WHERE e.finished_at IS NULL AND e.status = 'dispatched'
  AND CASE WHEN e.published_at IS NULL THEN e.dispatched_at <= $1 ELSE e.published_at <= $2 END
ORDER BY e.id LIMIT $3
