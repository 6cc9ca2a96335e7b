-- The last of the newest executions before $1, which may be null, after skipping $2; no row if there are
-- not so many.
SELECT id FROM job_execution WHERE (id < $1 OR $1 IS NULL) ORDER BY id DESC LIMIT 1 OFFSET $2
