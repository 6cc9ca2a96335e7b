-- Records a change before it is made.
-- Parameters: $1 now, $2 actor, $3 action, $4 tenant, $5 target, $6 the state before, $7 reason.
-- Result: the entry's id.
INSERT INTO polychron_audit (at, actor, action, tenant, target, before, reason)
VALUES ($1, $2, $3, $4, $5, $6, $7)
RETURNING id
