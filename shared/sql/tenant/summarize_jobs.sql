-- Summarises what enabled jobs need of consumers, for `check`.
-- Result: for each job type and queue the number of jobs and their longest timeout.
SELECT job_type,
       queue,
       count(*) AS jobs,
       max(timeout_seconds) AS longest_timeout_seconds
FROM polychron_job
WHERE is_enabled
  AND octet_length(job_type) <= 400
  AND octet_length(queue) <= 64
GROUP BY job_type, queue
ORDER BY job_type, queue
