-- The job is late from $2 on; null: no more. Only where that is a change, so that it is told once.
UPDATE polychron_job SET late_since = $2
WHERE id = $1 AND coalesce(late_since, $2) IS NOT NULL AND (late_since IS NULL OR $2 IS NULL)
