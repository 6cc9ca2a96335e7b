-- Claim, first statement: a dispatched row becomes this worker's. Idempotent for that worker: a row
-- that it claimed without receiving the answer has not started.
-- Whole seconds are added to the seconds of $3, whose fraction is appended again: SQLite's own
-- arithmetic would round it to milliseconds.
-- Differs because SQLite has no intervals and cannot return columns of a joined table.
-- Parameters: $1 execution id, $2 worker, $3 now, $4 lease end, $5 default timeout in seconds,
--   $6 queues that the worker serves (JSON array).
-- Result: 1 row changed; 0: final, cancelled, another worker's, of another queue, or too large.
UPDATE polychron_job_execution
SET status = 'running',
    worker = $2,
    started_at = $3,
    lease_until = min(
        $4,
        strftime('%Y-%m-%dT%H:%M:%S', substr($3, 1, 19), '+' || coalesce(j.timeout_seconds, $5) || ' seconds')
        || substr($3, 20)
    ),
    deadline_at =
        strftime('%Y-%m-%dT%H:%M:%S', substr($3, 1, 19), '+' || coalesce(j.timeout_seconds, $5) || ' seconds')
        || substr($3, 20),
    job_version = j.version,
    payload = coalesce(
        polychron_job_execution.payload,
        CASE WHEN octet_length(j.payload) <= 65536 THEN j.payload END
    )
FROM polychron_job j
WHERE polychron_job_execution.id = $1
  AND j.id = polychron_job_execution.job_id
  AND octet_length(j.queue) <= 64
  AND j.queue IN (SELECT value FROM json_each($6))
  AND coalesce(octet_length(polychron_job_execution.payload), 0) + coalesce(octet_length(result), 0)
      + coalesce(octet_length(output), 0) + coalesce(octet_length(error_message), 0)
      + coalesce(octet_length(error_detail), 0) + coalesce(octet_length(progress), 0)
      + coalesce(octet_length(worker), 0) <= 8388608
  AND NOT cancel_requested
  AND (status = 'dispatched' OR (status = 'running' AND worker = $2))
