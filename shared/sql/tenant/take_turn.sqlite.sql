-- Dispatch, first statement: takes the turn at this tenant.
-- Differs because SQLite needs a transaction of several statements.
-- Parameters: $1 dispatch_no read.
-- Result: 1 row changed; 0: another producer dispatched meanwhile.
UPDATE polychron_identity
SET dispatch_no = dispatch_no + 1
WHERE dispatch_no = $1
