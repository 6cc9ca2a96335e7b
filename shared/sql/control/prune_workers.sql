-- Consumer processes that have not been heard of since $1 are forgotten.
DELETE FROM polychron_worker WHERE seen_at < $1
