-- Reads due jobs, oldest first, and what is open of each. A job whose queue has no capacity is held:
-- it is left out until it has been due since $2, or at once if its grace is short, because that it is
-- due must be on record in time. (A name is in a list if taking ",name," out changes the list: both
-- databases can do that.)
-- Parameters: $1 now, $2 read a job of any queue if due since, $3 queues with capacity, as ",a,b,",
--   $4 most rows, $5 seconds of grace below which a job is never held.
-- Result: the jobs, with their number of open executions and of those that wait their turn.
SELECT j.id, j.name, j.job_type, j.queue, j.version, j.next_run_at,
       CAST(j.schedule AS text) AS schedule,
       j.misfire_policy, j.misfire_grace_seconds, j.overlap_policy,
       (SELECT count(*)
        FROM polychron_job_execution e
        WHERE e.job_id = j.id AND e.finished_at IS NULL) AS open,
       (SELECT count(*)
        FROM polychron_job_execution e
        WHERE e.job_id = j.id AND e.finished_at IS NULL
          AND e.status = 'scheduled' AND e.available_at IS NULL) AS waiting
FROM polychron_job j
WHERE j.is_enabled
  AND j.quarantined_reason IS NULL
  AND j.next_run_at <= $1
  AND (j.next_run_at <= $2
       OR j.misfire_grace_seconds < $5
       OR replace($3, ',' || j.queue || ',', '') <> $3)
ORDER BY j.next_run_at, j.id
LIMIT $4
