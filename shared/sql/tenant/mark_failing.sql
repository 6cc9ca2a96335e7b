-- Marks a job as failing, or as recovered. Only a change counts, so that it is notified once.
-- Parameters: $1 job id, $2 since when it fails; null: no longer.
-- Result: 1 row changed; 0: it was so already.
UPDATE polychron_job
SET failing_since = $2
WHERE id = $1
  AND coalesce(failing_since, $2) IS NOT NULL
  AND (failing_since IS NULL OR $2 IS NULL)
