-- What a forecast needs of the jobs that will run, a page of those after the id $1: schedule, and the
-- seconds that a slot was held for one occurrence, all its attempts together, by the latest 20 attempts.
-- Differs because the two databases reckon with times in ways of their own.
SELECT id, name, CAST(schedule AS text) AS schedule, overlap_policy,
       (SELECT sum(unixepoch(finished_at, 'subsec') - unixepoch(started_at, 'subsec')) / count(DISTINCT scheduled_for)
        FROM (SELECT scheduled_for, started_at, finished_at FROM polychron_job_execution
              WHERE job_id = polychron_job.id ORDER BY scheduled_for DESC, attempt DESC LIMIT 20) AS latest
        WHERE started_at IS NOT NULL AND finished_at IS NOT NULL) AS seconds
FROM polychron_job WHERE id > $1 AND is_enabled AND quarantined_reason IS NULL ORDER BY id LIMIT $2
