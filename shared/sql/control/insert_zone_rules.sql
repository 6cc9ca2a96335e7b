-- Adds time zone rules, unless another update has added some with this number.
-- Parameters: $1 number, $2 hash, $3 version, $4 source, $5 in force from, $6 content.
-- Result: 1 row inserted; 0: the number is taken.
INSERT INTO polychron_zone_rules (number, hash, version, source, in_force_from, content)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING
