-- Lists jobs that are marked late.
-- Result: their ids.
SELECT id
FROM polychron_job
WHERE late_since IS NOT NULL
ORDER BY id
