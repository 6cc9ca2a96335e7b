-- Reads the version of this database's schema.
-- Result: the version, and the lowest that a program must have been built with.
SELECT coalesce(max(version), 0), coalesce(max(minimum), 0)
FROM polychron_control_migration
WHERE success
