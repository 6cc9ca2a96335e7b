-- Reads where this database lay when it was settled.
-- Result: 1 row: place and file; no row: it was not settled yet.
SELECT place, file
FROM polychron_installation
