-- Deletes the earliest time zone rules.
-- Parameters: $1 the first number that stays.
-- Result: rows deleted.
DELETE FROM polychron_zone_rules
WHERE number < $1
