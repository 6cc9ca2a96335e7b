-- Polls: summarises what there is to do at this tenant.
-- Differs because SQLite reads rows in our memory: huge ones are skipped.
-- Result: one row: when the next job is due, whether a job is unarmed, how many executions are open in
--   each state, and when the next of them needs attention; no row: the database has no tenant yet.
SELECT i.tenant_id,
       i.dispatch_no,
       opened.*,
       (SELECT min(next_run_at)
        FROM polychron_job
        WHERE is_enabled AND quarantined_reason IS NULL) AS next_due_at,
       EXISTS (
           SELECT 1
           FROM polychron_job
           WHERE is_enabled AND quarantined_reason IS NULL AND next_run_at IS NULL
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
    FROM polychron_job_execution
    WHERE finished_at IS NULL
) opened
