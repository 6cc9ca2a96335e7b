-- The claim: dispatched rows become this worker's. Idempotent for one worker, since a row that it
-- claimed without hearing so has not started. Refused, by leaving them out of the answer: rows
-- that anybody else holds or that are over, and rows of queues this worker doesn't take from.
-- Rows are updated in the order of their ids, as in every batch, so that no two can deadlock: they
-- are found by ANY, which PostgreSQL reads off the index in its order. (ANY of one is an equality
-- by which nothing can be merged. For a merge an index is read from end to end; that is how a small
-- table looks best, and a plan is kept when it has grown.)
-- Differs because SQLite has no intervals and cannot return columns of a joined table.
UPDATE polychron_job_execution e
SET status = 'running', worker = $2, started_at = $3,
    lease_until = least($4, $3::timestamptz + make_interval(secs => coalesce(j.timeout_seconds, $5))),
    deadline_at = $3::timestamptz + make_interval(secs => coalesce(j.timeout_seconds, $5)),
    job_version = j.version, payload = coalesce(e.payload, j.payload)
FROM polychron_job j
WHERE e.id = ANY($1::uuid[]) AND j.id = ANY(ARRAY[e.job_id]) AND j.queue = ANY($6::text[])
  AND (e.status = 'dispatched' OR (e.status = 'running' AND e.worker = $2)) AND NOT e.cancel_requested
RETURNING e.id, e.job_id, j.name, j.job_type, e.payload::text AS payload, e.scheduled_for, e.attempt,
          e.started_at, e.lease_until, e.deadline_at, j.max_attempts, j.retry_base_seconds, j.orphan_policy,
          j.failing_since IS NOT NULL AS job_fails,
          CASE WHEN e.attempt = 1 THEN 0 ELSE
              (SELECT count(*) FROM polychron_job_execution p WHERE p.job_id = e.job_id AND p.scheduled_for = e.scheduled_for
                                                      AND p.error_kind = 'shutdown') END AS uncharged
