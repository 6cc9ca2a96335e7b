-- Finds which of the views' names are taken. A view of ours has our trigger.
-- Differs because each database has its own catalogue.
-- Result: the names that something else has.
SELECT DISTINCT CAST(taken.name AS text)
FROM (
    SELECT relname AS name, oid AS relation
    FROM pg_class
    WHERE relnamespace = CAST(to_regnamespace(quote_ident(CAST(current_schema() AS text))) AS oid)
    UNION ALL
    SELECT typname, typrelid
    FROM pg_type
    WHERE typnamespace = CAST(to_regnamespace(quote_ident(CAST(current_schema() AS text))) AS oid)
) AS taken
WHERE taken.name IN ('job', 'job_execution')
  AND NOT EXISTS (
      SELECT 1
      FROM pg_trigger
      WHERE tgrelid = taken.relation AND tgname = 'polychron_read_only'
  )
ORDER BY 1
