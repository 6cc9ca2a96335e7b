-- What the enabled jobs ask of consumers: types, queues and the longest timeout, for `check`.
SELECT job_type, queue, count(*) AS jobs, max(timeout_seconds) AS longest_timeout_seconds
FROM polychron_job WHERE is_enabled GROUP BY job_type, queue ORDER BY job_type, queue
