-- First statement of the dispatch: takes the turn at this tenant.
-- Differs because SQLite needs a transaction of several statements.
UPDATE polychron_identity SET dispatch_no = dispatch_no + 1 WHERE dispatch_no = $1
