-- Jobs that are said to be late.
SELECT id FROM job WHERE late_since IS NOT NULL ORDER BY id
