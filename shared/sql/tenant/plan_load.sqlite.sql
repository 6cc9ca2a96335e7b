-- Lists what a forecast needs of enabled jobs. An occurrence's time in a slot, all its attempts
-- together, is averaged over the latest 20 attempts.
-- Differs because the two databases calculate with times differently.
-- Parameters: $1 job id after which the page starts, $2 most rows.
-- Result: id, name, schedule, overlap policy and seconds in a slot; null: it has never run.
SELECT id,
       CASE WHEN octet_length(name) > 800 THEN '(too long)' ELSE name END AS name,
       CASE WHEN octet_length(schedule) > 4096 THEN '(too long)' ELSE schedule END AS schedule,
       CASE WHEN octet_length(overlap_policy) > 20 THEN '(too long)'
            ELSE overlap_policy END AS overlap_policy,
       (SELECT sum(unixepoch(finished_at, 'subsec') - unixepoch(started_at, 'subsec'))
                   / count(DISTINCT scheduled_for)
        FROM (
            SELECT scheduled_for, started_at, finished_at
            FROM polychron_job_execution
            WHERE job_id = polychron_job.id
            ORDER BY scheduled_for DESC, attempt DESC
            LIMIT 20
        ) AS latest
        WHERE started_at IS NOT NULL AND finished_at IS NOT NULL) AS seconds
FROM polychron_job
WHERE id > $1
  AND is_enabled
  AND quarantined_reason IS NULL
ORDER BY id
LIMIT $2
