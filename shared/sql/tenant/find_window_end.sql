-- Of the newest executions before $1, the one after the first $2; no row if there are not so many.
SELECT id FROM polychron_job_execution WHERE id < $1 ORDER BY id DESC LIMIT 1 OFFSET $2
