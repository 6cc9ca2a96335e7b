-- Jobs whose next time nobody has worked out: new ones, and edited ones.
SELECT id, version, CAST(schedule AS text) AS schedule
FROM polychron_job WHERE is_enabled AND quarantined_reason IS NULL AND next_run_at IS NULL
ORDER BY id LIMIT $1
