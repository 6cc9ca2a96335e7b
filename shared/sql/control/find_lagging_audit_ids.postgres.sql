-- Finds out whether the sequence of a table's ids lags behind. One that was never used counts as 0.
-- Differs because SQLite has no sequences.
-- Result: its name and the highest id; no row: it does not.
SELECT name, highest
FROM (
    SELECT pg_get_serial_sequence('polychron_audit'::text, 'id'::text) AS name, max(id) AS highest
    FROM polychron_audit
) AS ids
WHERE name IS NOT NULL
  AND highest > coalesce(pg_sequence_last_value(CAST(name AS regclass)), 0::bigint)
