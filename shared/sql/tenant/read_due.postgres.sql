-- Reads due jobs, oldest first, and what is open of each. A job whose queue has no capacity is held:
-- it is left out until it has been due since $2, or at once if its grace is short, because that it is
-- due must be on record in time. (A name is in a list if taking ",name," out changes the list: both
-- databases can do that.)
-- Differs because JSON is text in SQLite, and SQLite reads rows in our memory: huge ones are skipped.
-- Parameters: $1 now, $2 read a job of any queue if due since, $3 queues with capacity, as ",a,b,",
--   $4 most rows, $5 seconds of grace below which a job is never held, $6 jobs to leave out, because
--   another session has locked their rows.
-- Result: the jobs, with their number of open executions and of those that wait their turn, and with the last
--   occurrence from next_run_at on that has a row: such a next_run_at is stale. 1970: none has.
--   A row beyond now was made by a clock that was wrong, and says nothing.
SELECT j.id,
       CASE WHEN octet_length(j.name) <= 800 THEN j.name END AS name,
       CASE WHEN octet_length(j.job_type) <= 400 THEN j.job_type END AS job_type,
       CASE WHEN octet_length(j.queue) <= 64 THEN j.queue END AS queue,
       j.version, j.next_run_at,
       CASE WHEN octet_length(CAST(j.schedule AS text)) <= 4096 THEN CAST(j.schedule AS text) END AS schedule,
       CASE WHEN octet_length(j.misfire_policy) <= 20 THEN j.misfire_policy END AS misfire_policy,
       j.misfire_grace_seconds,
       CASE WHEN octet_length(j.overlap_policy) <= 20 THEN j.overlap_policy END AS overlap_policy,
       (SELECT count(*)
        FROM polychron_job_execution e
        WHERE e.job_id = j.id AND e.finished_at IS NULL) AS open,
       (SELECT count(*)
        FROM polychron_job_execution e
        WHERE e.job_id = j.id AND e.finished_at IS NULL
          AND e.status = 'scheduled' AND e.available_at IS NULL) AS waiting,
       coalesce(
           (SELECT max(e.scheduled_for)
            FROM polychron_job_execution e
            WHERE e.job_id = j.id AND e.scheduled_for >= j.next_run_at
              AND e.scheduled_for <= $1 AND e.attempt = 1 AND e.trigger = 'schedule'),
           '1970-01-01 00:00:00+00'::timestamptz
       ) AS over_until
FROM polychron_job j
WHERE j.is_enabled
  AND j.quarantined_reason IS NULL
  AND j.next_run_at <= $1
  AND j.id <> ALL($6::bigint[])
  AND (j.next_run_at <= $2
       OR j.misfire_grace_seconds < $5
       OR (octet_length(j.queue) <= 64 AND replace($3, ',' || j.queue || ',', '') <> $3))
ORDER BY j.next_run_at, j.id
LIMIT $4
