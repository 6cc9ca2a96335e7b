-- The end of old history, of one job ($1): the oldest $6 occurrences that may go, each with all its
-- attempts, and the mark that says so. Old is what lies before $4, or beyond the newest $3 executions;
-- the newest $2 always stay, and so does what isn't over or ended after $5. Of the occurrences that
-- may go, the last success and the last failure stay until a later batch has later ones.
-- Differs because SQLite needs a transaction of several statements.
WITH oldest AS MATERIALIZED (
    SELECT scheduled_for FROM polychron_job_execution
    WHERE job_id = $1 AND attempt = 1
      AND scheduled_for < (SELECT scheduled_for FROM polychron_job_execution WHERE job_id = $1
                           ORDER BY scheduled_for DESC LIMIT 1 OFFSET $2 - 1)
      AND scheduled_for < greatest($4, CASE WHEN $3::bigint IS NOT NULL THEN
                                           (SELECT scheduled_for FROM polychron_job_execution WHERE job_id = $1
                                            ORDER BY scheduled_for DESC LIMIT 1 OFFSET $3 - 1) END)
    ORDER BY scheduled_for LIMIT $6
), old AS MATERIALIZED (
    SELECT scheduled_for, bool_or(status = 'success') AS succeeded, bool_or(status = 'failed') AS failed
    FROM oldest JOIN polychron_job_execution USING (scheduled_for)
    WHERE job_id = $1
    GROUP BY scheduled_for
    HAVING count(finished_at) = count(*) AND max(finished_at) < $5
), gone AS (
    DELETE FROM polychron_job_execution
    WHERE job_id = $1 AND scheduled_for IN (
        SELECT scheduled_for FROM old
        WHERE scheduled_for IS DISTINCT FROM (SELECT max(scheduled_for) FROM old WHERE succeeded)
          AND scheduled_for IS DISTINCT FROM (SELECT max(scheduled_for) FROM old WHERE failed))
    RETURNING scheduled_for
), marked AS (
    UPDATE polychron_job SET pruned_until = greatest(pruned_until, (SELECT max(scheduled_for) FROM gone))
    WHERE id = $1 AND EXISTS (SELECT 1 FROM gone)
)
SELECT count(*) FROM gone
