-- Prune, first statement: deletes one job's oldest occurrences with all their attempts. An occurrence
-- may go if it is old, or beyond the number to keep, and all its attempts are final. Of those, the
-- last success and the last failure stay until a later batch has later ones.
-- Differs because SQLite needs a transaction of several statements.
-- Parameters: $1 job id, $2 newest executions that always stay, $3 most executions to keep, or null,
--   $4 delete what was scheduled before, or null, $5 only if finished before, $6 most occurrences.
-- Result: scheduled_for of each execution deleted.
WITH oldest AS MATERIALIZED (
    SELECT scheduled_for
    FROM polychron_job_execution
    WHERE job_id = $1
      AND attempt = 1
      AND scheduled_for < min(
          (SELECT scheduled_for
           FROM polychron_job_execution
           WHERE job_id = $1
           ORDER BY scheduled_for DESC
           LIMIT 1 OFFSET $2 - 1),
          max(coalesce($4, ''), CASE WHEN $3 IS NULL THEN '' ELSE coalesce((
              SELECT scheduled_for
              FROM polychron_job_execution
              WHERE job_id = $1
              ORDER BY scheduled_for DESC
              LIMIT 1 OFFSET $3 - 1
          ), '') END)
      )
    ORDER BY scheduled_for
    LIMIT $6
), old AS MATERIALIZED (
    SELECT scheduled_for,
           max(status = 'success') AS succeeded,
           max(status = 'failed') AS failed
    FROM oldest
    JOIN polychron_job_execution USING (scheduled_for)
    WHERE job_id = $1
    GROUP BY scheduled_for
    HAVING count(*) FILTER (WHERE finished_at IS NULL) = 0 AND max(finished_at) < $5
)
DELETE FROM polychron_job_execution
WHERE job_id = $1
  AND scheduled_for IN (
      SELECT scheduled_for
      FROM old
      WHERE scheduled_for IS NOT (SELECT max(scheduled_for) FROM old WHERE succeeded)
        AND scheduled_for IS NOT (SELECT max(scheduled_for) FROM old WHERE failed)
  )
RETURNING scheduled_for
