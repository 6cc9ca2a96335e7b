-- Marks a job as late, or as caught up. Only a change counts, so that it is notified once.
-- Parameters: $1 job id, $2 since when it is late; null: no longer.
-- Result: 1 row changed; 0: it was so already.
UPDATE polychron_job
SET late_since = $2
WHERE id = $1
  AND coalesce(late_since, $2) IS NOT NULL
  AND (late_since IS NULL OR $2 IS NULL)
