-- Exercises the right to write, on no rows. It fails in a read-only file.
-- Differs because SQLite has no other rights, and changes one table in a statement.
-- Result: no row.
UPDATE polychron_job
SET next_run_at = next_run_at
WHERE false
