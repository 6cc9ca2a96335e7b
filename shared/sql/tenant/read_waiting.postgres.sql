-- Reads scheduled rows that may be dispatched: retries and manual runs whose time has come, and
-- occurrences that wait their turn, once no other attempt of their job is open or comes before them,
-- unless the overlap policy allows them to run at the same time.
-- Differs because SQLite reads rows in our memory: huge ones are skipped.
-- Parameters: $1 now, $2 queues with capacity, as ",a,b," (see read_due.*.sql), $3 most rows.
-- Result: the rows and where to publish them.
SELECT e.id, e.scheduled_for, e.attempt,
       CASE WHEN octet_length(j.name) > 800 THEN '(too long)' ELSE j.name END AS name,
       CASE WHEN octet_length(j.job_type) > 400 THEN '(too long)' ELSE j.job_type END AS job_type,
       j.queue
FROM polychron_job_execution e
JOIN polychron_job j ON j.id = e.job_id
WHERE e.finished_at IS NULL
  AND e.status = 'scheduled'
  AND NOT e.cancel_requested
  AND (e.available_at <= $1
       OR (e.available_at IS NULL
           AND (j.overlap_policy = 'allow'
                OR NOT EXISTS (
                    SELECT 1
                    FROM polychron_job_execution o
                    WHERE o.job_id = e.job_id AND o.finished_at IS NULL AND o.id <> e.id
                      AND (o.status <> 'scheduled'
                           OR o.available_at IS NOT NULL
                           OR o.scheduled_for < e.scheduled_for)
                ))))
  AND octet_length(j.queue) <= 64
  AND replace($2, ',' || j.queue || ',', '') <> $2
ORDER BY coalesce(e.available_at, e.scheduled_for), e.id
LIMIT $3
