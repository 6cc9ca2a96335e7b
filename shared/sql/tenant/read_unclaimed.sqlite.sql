-- Reads dispatched rows that need another message: the first was never confirmed, or the last was
-- published too long ago. The oldest come first; the order of ids would lead SQLite through the whole
-- history.
-- Differs because SQLite reads rows in our memory: huge ones are skipped.
-- Parameters: $1 dispatched before, if never confirmed; published before $2 if once, $3 if twice,
--   $4 if three times, $5 if four times, $6 if more often; $7 most rows.
-- Result: the rows and where to publish them.
SELECT e.id, e.scheduled_for, e.attempt, e.publish_count,
       CASE WHEN octet_length(j.name) > 800 THEN '(too long)' ELSE j.name END AS name,
       CASE WHEN octet_length(j.job_type) > 400 THEN '(too long)' ELSE j.job_type END AS job_type,
       j.queue
FROM polychron_job_execution e
JOIN polychron_job j ON j.id = e.job_id
WHERE e.finished_at IS NULL
  AND e.status = 'dispatched'
  AND CASE WHEN e.published_at IS NULL THEN e.dispatched_at <= $1
           WHEN e.publish_count <= 1 THEN e.published_at <= $2
           WHEN e.publish_count = 2 THEN e.published_at <= $3
           WHEN e.publish_count = 3 THEN e.published_at <= $4
           WHEN e.publish_count = 4 THEN e.published_at <= $5
           ELSE e.published_at <= $6 END
  AND octet_length(j.queue) <= 64
  AND coalesce(octet_length(e.payload), 0) + coalesce(octet_length(e.result), 0)
      + coalesce(octet_length(e.output), 0)
      + coalesce(octet_length(e.error_message), 0) + coalesce(octet_length(e.error_detail), 0)
      + coalesce(octet_length(e.progress), 0) + coalesce(octet_length(e.worker), 0) <= 8388608
ORDER BY coalesce(e.published_at, e.dispatched_at), e.id
LIMIT $7
