-- Polls: summarises what there is to do at this tenant.
-- Differs because SQLite reads rows in our memory: huge ones are skipped.
-- Result: one row: when the next job is due, whether a job is unarmed, how many executions are open in
--   each state, and when the next of them needs attention; no row: the database has no tenant yet.
SELECT i.tenant_id,
       i.dispatch_no,
       opened.*,
       (SELECT min(next_run_at)
        FROM polychron_job j
        WHERE is_enabled AND quarantined_reason IS NULL
          AND octet_length(j.name) + octet_length(j.job_type) + octet_length(j.payload)
              + octet_length(j.schedule)
              + octet_length(j.queue) + coalesce(octet_length(j.notify), 0)
              + coalesce(octet_length(j.quarantined_reason), 0) <= 8388608) AS next_due_at,
       EXISTS (
           SELECT 1
           FROM polychron_job j
           WHERE is_enabled AND quarantined_reason IS NULL AND next_run_at IS NULL
             AND octet_length(j.name) + octet_length(j.job_type) + octet_length(j.payload)
                 + octet_length(j.schedule)
                 + octet_length(j.queue) + coalesce(octet_length(j.notify), 0)
                 + coalesce(octet_length(j.quarantined_reason), 0) <= 8388608
       ) AS has_unarmed
FROM polychron_identity i
CROSS JOIN (
    SELECT count(*) FILTER (WHERE status = 'dispatched') AS dispatched,
           count(*) FILTER (WHERE status = 'running') AS running,
           count(*) FILTER (WHERE status = 'scheduled' AND available_at IS NULL) AS waiting,
           min(available_at) FILTER (WHERE status = 'scheduled') AS next_available_at,
           min(lease_until) FILTER (WHERE status = 'running') AS next_lease_until,
           min(dispatched_at)
               FILTER (WHERE status = 'dispatched' AND published_at IS NULL) AS unconfirmed_since,
           min(published_at) FILTER (WHERE status = 'dispatched') AS published_since
    FROM polychron_job_execution e
    WHERE finished_at IS NULL
      AND coalesce(octet_length(e.payload), 0) + coalesce(octet_length(e.result), 0)
          + coalesce(octet_length(e.output), 0)
          + coalesce(octet_length(e.error_message), 0) + coalesce(octet_length(e.error_detail), 0)
          + coalesce(octet_length(e.progress), 0) + coalesce(octet_length(e.worker), 0) <= 8388608
) opened
