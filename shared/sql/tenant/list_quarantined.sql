-- Lists jobs whose schedules cannot be followed.
-- Parameters: $1 most rows.
-- Result: name and reason.
SELECT name, quarantined_reason
FROM polychron_job
WHERE quarantined_reason IS NOT NULL
ORDER BY name
LIMIT $1
