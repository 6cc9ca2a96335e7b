-- A history of $2 executions of the jobs 1 to $1, spread evenly over the $3 seconds before $4 (in seconds
-- since 1970): one of $5 has failed, one of 50 was skipped. Differs because each database has its own words
-- for times and ids.
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $2),
moments AS (SELECT n, $4 - $3 * ($2 - n) / $2 AS at FROM numbers),
named AS (
    SELECT n, at, CASE WHEN n % $5 = 0 THEN 'failed' WHEN n % 50 = 7 THEN 'skipped' ELSE 'success' END AS status
    FROM moments
)
INSERT INTO polychron_job_execution(id, job_id, scheduled_for, trigger, attempt, status, dispatched_at, published_at,
                          publish_count, started_at, finished_at, worker, job_version, error_kind, error_message, output)
SELECT printf('%08x-%04x-7000-8000-%012x', CAST(at * 1000 AS INTEGER) >> 16, CAST(at * 1000 AS INTEGER) & 65535, n),
       1 + n % $1, strftime('%Y-%m-%dT%H:%M:%f+00:00', at, 'unixepoch'), 'schedule', 1, status,
       strftime('%Y-%m-%dT%H:%M:%f+00:00', at + 0.1, 'unixepoch'), strftime('%Y-%m-%dT%H:%M:%f+00:00', at + 0.2, 'unixepoch'), 1,
       CASE WHEN status <> 'skipped' THEN strftime('%Y-%m-%dT%H:%M:%f+00:00', at + 0.3, 'unixepoch') END,
       strftime('%Y-%m-%dT%H:%M:%f+00:00', at + 1.5, 'unixepoch'), 'worker-1', 1,
       CASE WHEN status = 'failed' THEN 'handler' END,
       CASE status WHEN 'failed' THEN 'the ledger did not answer' WHEN 'skipped' THEN 'an earlier one was not over' END,
       'read 120 rows, wrote 120 rows'
FROM named
