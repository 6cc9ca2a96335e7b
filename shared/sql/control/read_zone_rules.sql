-- Reads which time zone rules hold, without their content.
-- Result: number and hash of the latest; no row: the built-in ones hold.
SELECT number, hash
FROM polychron_zone_rules
ORDER BY number DESC
LIMIT 1
