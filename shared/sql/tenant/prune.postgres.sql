-- Prunes one job's history: deletes its oldest occurrences with all their attempts, and records up to
-- where the history may be incomplete. An occurrence may go if it is old, or beyond the number to
-- keep, and all its attempts are final. Of those, the last success and the last failure stay until a
-- later batch has later ones.
-- Differs because SQLite needs a transaction of several statements.
-- Parameters: $1 job id, $2 newest executions that always stay, $3 most executions to keep, or null,
--   $4 delete what was scheduled before, or null, $5 only if finished before, $6 most occurrences.
-- Result: how many executions were deleted; none while another session has locked the job's row.
WITH parent AS MATERIALIZED (
    SELECT id
    FROM polychron_job
    WHERE id = $1
    FOR NO KEY UPDATE SKIP LOCKED
), oldest AS MATERIALIZED (
    SELECT scheduled_for
    FROM polychron_job_execution
    WHERE job_id = $1
      AND attempt = 1
      AND ((SELECT count(*) FROM parent) > 0 OR NOT EXISTS (SELECT 1 FROM polychron_job WHERE id = $1))
      AND scheduled_for < (
          SELECT scheduled_for
          FROM polychron_job_execution
          WHERE job_id = $1
          ORDER BY scheduled_for DESC
          LIMIT 1 OFFSET $2 - 1
      )
      AND scheduled_for < greatest($4, CASE WHEN $3::bigint IS NOT NULL THEN (
          SELECT scheduled_for
          FROM polychron_job_execution
          WHERE job_id = $1
          ORDER BY scheduled_for DESC
          LIMIT 1 OFFSET $3 - 1
      ) END)
    ORDER BY scheduled_for
    LIMIT $6
), old AS MATERIALIZED (
    SELECT scheduled_for,
           bool_or(status = 'success') AS succeeded,
           bool_or(status = 'failed') AS failed
    FROM oldest
    JOIN polychron_job_execution USING (scheduled_for)
    WHERE job_id = $1
    GROUP BY scheduled_for
    HAVING count(*) FILTER (WHERE finished_at IS NULL) = 0 AND max(finished_at) < $5
), gone AS (
    DELETE FROM polychron_job_execution
    WHERE job_id = $1
      AND scheduled_for IN (
          SELECT scheduled_for
          FROM old
          WHERE scheduled_for IS DISTINCT FROM (SELECT max(scheduled_for) FROM old WHERE succeeded)
            AND scheduled_for IS DISTINCT FROM (SELECT max(scheduled_for) FROM old WHERE failed)
      )
    RETURNING scheduled_for
), marked AS (
    UPDATE polychron_job
    SET pruned_until = greatest(pruned_until, (SELECT max(scheduled_for) FROM gone))
    WHERE id = $1
      AND EXISTS (SELECT 1 FROM gone)
)
SELECT count(*)
FROM gone
