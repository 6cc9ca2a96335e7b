-- Lists jobs whose schedules cannot be followed.
-- Parameters: $1 most rows.
-- Result: name and reason.
SELECT CASE WHEN octet_length(name) > 800 THEN '(too long)' ELSE name END AS name,
       CASE WHEN octet_length(quarantined_reason) > 65536 THEN '(too long)'
            ELSE quarantined_reason END AS quarantined_reason
FROM polychron_job
WHERE quarantined_reason IS NOT NULL
ORDER BY name
LIMIT $1
