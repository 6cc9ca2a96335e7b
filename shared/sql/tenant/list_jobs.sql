-- Lists jobs by name.
-- Parameters: $1 name after which the page starts, $2 most rows.
-- Result: the jobs.
FROM polychron_job
WHERE name > $1
  AND octet_length(name) <= 800
ORDER BY name
LIMIT $2
