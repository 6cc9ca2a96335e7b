-- Finds which of the views' names are taken. A view of ours reads our table.
-- Differs because each database has its own catalogue.
-- Result: the names that something else has.
SELECT name
FROM sqlite_schema
WHERE name IN ('job', 'job_execution')
  AND NOT (type = 'view' AND sql LIKE '% FROM polychron_' || name)
ORDER BY name
