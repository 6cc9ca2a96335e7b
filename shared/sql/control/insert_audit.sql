-- What somebody is about to change.
INSERT INTO polychron_audit (at, actor, action, tenant, target, before, reason)
VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id
