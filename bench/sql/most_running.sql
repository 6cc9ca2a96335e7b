-- The most executions that were running at one moment, by what their rows say.
SELECT max(running)::bigint
FROM (
    -- Ends before starts of the same moment.
    SELECT sum(change) OVER (ORDER BY at, change ROWS UNBOUNDED PRECEDING) AS running
    FROM (
        SELECT started_at AS at, 1 AS change FROM polychron_job_execution WHERE status = 'success'
        UNION ALL SELECT finished_at, -1 FROM polychron_job_execution WHERE status = 'success'
    ) AS changes
) AS counts
