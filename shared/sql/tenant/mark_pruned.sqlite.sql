-- Second statement of the end of old history: the mark that says how far it goes.
-- Differs because SQLite needs a transaction of several statements.
UPDATE polychron_job SET pruned_until = max(coalesce(pruned_until, $2), $2) WHERE id = $1
