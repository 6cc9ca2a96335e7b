-- Lists the time zone rules, the earliest first. What is too large to be ours is left out.
-- Parameters: $1 most bytes of a content.
-- Result: the sets with their content.
SELECT number, hash, version, source, in_force_from, content
FROM polychron_zone_rules
WHERE octet_length(content) <= $1
ORDER BY number
