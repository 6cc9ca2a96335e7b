-- Bytes of the job table and of the index of what is open; of the executions with all their indexes, and how many
-- they are; how many have succeeded of those that were due in the half minute before the last ten seconds.
SELECT pg_total_relation_size('polychron_job') AS jobs, pg_relation_size('polychron_job_execution_open') AS open,
       pg_total_relation_size('polychron_job_execution') AS executions, count(*) AS rows,
       count(*) FILTER (WHERE status = 'success' AND scheduled_for >= now() - interval '40 seconds'
                                                 AND scheduled_for < now() - interval '10 seconds') AS recent
FROM polychron_job_execution
