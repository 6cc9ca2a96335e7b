-- The most executions that were running, and that were dispatched or running, at one moment.
SELECT max(running)::bigint AS running, max(open)::bigint AS open
FROM (
    SELECT sum(starts) OVER moments AS running, sum(opens) OVER moments AS open
    FROM (
        SELECT dispatched_at AS at, 0 AS starts, 1 AS opens FROM job_execution WHERE status = 'success'
        UNION ALL SELECT started_at, 1, 0 FROM job_execution WHERE status = 'success'
        UNION ALL SELECT finished_at, -1, -1 FROM job_execution WHERE status = 'success'
    ) AS changes
    -- Ends before beginnings of the same moment.
    WINDOW moments AS (ORDER BY at, opens + starts ROWS UNBOUNDED PRECEDING)
) AS counts
