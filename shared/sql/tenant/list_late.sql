-- Jobs that are said to be late.
SELECT id FROM polychron_job WHERE late_since IS NOT NULL ORDER BY id
