-- Reads the version of a schema from before it recorded the lowest version for programs.
-- Result: the version.
SELECT coalesce(max(version), 0)
FROM polychron_control_migration
WHERE success
