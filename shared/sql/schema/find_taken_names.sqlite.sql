-- Which of the views' names something else has. A view of ours reads our table.
-- Differs because each database has its own catalogue.
SELECT name FROM sqlite_schema
WHERE name IN ('job', 'job_execution') AND NOT (type = 'view' AND sql LIKE '% FROM polychron_' || name)
ORDER BY name
