-- A history of $2 executions of the jobs 1 to $1, spread evenly over the $3 seconds before $4 (in seconds
-- since 1970): one of $5 has failed, one of 50 was skipped. Differs because each database has its own words
-- for times and ids.
WITH moments AS (SELECT n, $4::float8 - $3::float8 * ($2::int4 - n) / $2::int4 AS at FROM generate_series(1, $2::int4) n),
named AS (
    SELECT n, at, CASE WHEN n % $5::int4 = 0 THEN 'failed' WHEN n % 50 = 7 THEN 'skipped' ELSE 'success' END AS status
    FROM moments
)
INSERT INTO polychron_job_execution(id, job_id, scheduled_for, trigger, attempt, status, dispatched_at, published_at,
                          publish_count, started_at, finished_at, worker, job_version, error_kind, error_message, output)
SELECT CAST(lpad(to_hex(CAST(at * 1000 AS int8)), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0') AS uuid),
       1 + n % $1::int4, to_timestamp(at), 'schedule', 1, status, to_timestamp(at + 0.1), to_timestamp(at + 0.2), 1,
       CASE WHEN status <> 'skipped' THEN to_timestamp(at + 0.3) END, to_timestamp(at + 1.5), 'worker-1', 1,
       CASE WHEN status = 'failed' THEN 'handler' END,
       CASE status WHEN 'failed' THEN 'the ledger did not answer' WHEN 'skipped' THEN 'an earlier one was not over' END,
       'read 120 rows, wrote 120 rows'
FROM named
