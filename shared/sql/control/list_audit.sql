-- Lists changes, newest first.
-- Parameters: $1 id before which the page starts, or null, $2 tenant or null, $3 target or null,
--   $4 most rows.
-- Result: the entries.
SELECT id, at, actor, action, tenant, target,
       CAST(before AS text) AS before,
       CAST(after AS text) AS after,
       reason
FROM polychron_audit
WHERE (id < $1 OR $1 IS NULL)
  AND (tenant = $2 OR $2 IS NULL)
  AND (target = $3 OR $3 IS NULL)
ORDER BY id DESC
LIMIT $4
