-- Due jobs, oldest first, with what is open of each. $3 lists the queues that have room, as ",a,b,":
-- jobs of other queues stay where they are until they are older than $2, when being seen must be put
-- on record; at once if their grace is short (the number stands in producer/planner.rs, too). (A
-- name is in the list if taking ",name," out changes it; both databases can do that.)
SELECT j.id, j.name, j.job_type, j.queue, j.version, j.next_run_at, CAST(j.schedule AS text) AS schedule,
       j.misfire_policy, j.misfire_grace_seconds, j.overlap_policy,
       (SELECT count(*) FROM polychron_job_execution e WHERE e.job_id = j.id AND e.finished_at IS NULL) AS open,
       (SELECT count(*) FROM polychron_job_execution e WHERE e.job_id = j.id AND e.finished_at IS NULL
                                               AND e.status = 'scheduled' AND e.available_at IS NULL) AS waiting
FROM polychron_job j
WHERE j.is_enabled AND j.quarantined_reason IS NULL AND j.next_run_at <= $1
  AND (j.next_run_at <= $2 OR j.misfire_grace_seconds < 60 OR replace($3, ',' || j.queue || ',', '') <> $3)
ORDER BY j.next_run_at, j.id LIMIT $4
