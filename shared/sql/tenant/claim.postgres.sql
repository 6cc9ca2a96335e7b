-- Claims dispatched rows for a worker. Idempotent for that worker: a row that it claimed without
-- receiving the answer has not started.
-- All batches lock rows in the order of their ids, so that no two deadlock: ANY reads the index in
-- order. `= ANY(ARRAY[x])` instead of `= x` rules out a merge join, which reads a whole index. The
-- planner prefers one while the table is small, and the plan is cached for when it has grown.
-- Differs because SQLite has no intervals and cannot return columns of a joined table.
-- Parameters: $1 execution ids in order, $2 worker, $3 now, $4 lease end, $5 default timeout in
--   seconds, $6 queues that the worker serves.
-- Result: the claimed rows, without a payload that is too long, and with `uncharged`, the number of
--   attempts that ended by a shutdown. Left out: rows that are final, cancelled or another worker's, and
--   rows of other queues.
UPDATE polychron_job_execution e
SET status = 'running',
    worker = $2,
    started_at = $3,
    lease_until = least(
        $4,
        $3::timestamptz + make_interval(secs => coalesce(j.timeout_seconds, $5)::float8)
    ),
    deadline_at = $3::timestamptz + make_interval(secs => coalesce(j.timeout_seconds, $5)::float8),
    job_version = j.version,
    payload = coalesce(e.payload, j.payload)
FROM polychron_job j
WHERE e.id = ANY($1::uuid[])
  AND j.id = ANY(ARRAY[e.job_id])
  AND j.queue = ANY($6::text[])
  AND (e.status = 'dispatched' OR (e.status = 'running' AND e.worker = $2))
  AND NOT e.cancel_requested
RETURNING e.id, e.job_id,
          CASE WHEN octet_length(j.name) > 800 THEN '(too long)' ELSE j.name END AS name,
          CASE WHEN octet_length(j.job_type) > 400 THEN '(too long)' ELSE j.job_type END AS job_type,
          CASE WHEN octet_length(e.payload::text) <= 65536 THEN e.payload::text END AS payload,
          e.scheduled_for, e.attempt, e.started_at, e.lease_until, e.deadline_at,
          j.max_attempts, j.retry_base_seconds,
          CASE WHEN octet_length(j.orphan_policy) > 20 THEN 'fail' ELSE j.orphan_policy END AS orphan_policy,
          j.failing_since IS NOT NULL AS job_is_failing,
          -- A first attempt has none before it, so most claims skip the subquery.
          CASE WHEN e.attempt = 1 THEN 0 ELSE (
              SELECT count(*)
              FROM polychron_job_execution p
              WHERE p.job_id = e.job_id AND p.scheduled_for = e.scheduled_for AND p.error_kind = 'shutdown'
          ) END AS uncharged
