-- Jobs whose schedule cannot be followed, and why.
SELECT name, quarantined_reason FROM polychron_job WHERE quarantined_reason IS NOT NULL ORDER BY name LIMIT $1
