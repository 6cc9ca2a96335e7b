-- Raises the sequence of a table's ids to the highest one: after a logical replication or a restore of single
-- tables it may lag behind, and every new row would get an id that is taken. It is never lowered: another
-- session may have raised it, and inserted a row that is not committed yet.
-- Differs because SQLite has no sequences.
-- Result: the highest id; no row: it does not lag behind.
SELECT setval(CAST(name AS regclass), highest)
FROM (
    SELECT pg_get_serial_sequence('polychron_job'::text, 'id'::text) AS name, max(id) AS highest
    FROM polychron_job
) AS ids
WHERE name IS NOT NULL
  AND highest > coalesce(pg_sequence_last_value(CAST(name AS regclass)), 0::bigint)
