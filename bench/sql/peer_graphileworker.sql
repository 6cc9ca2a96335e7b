-- How many jobs are done, and how long after $1 that is seen: a job that has succeeded leaves no row.
SELECT (SELECT coalesce(sum(jobs), 0)::bigint FROM handed_in) - count(*) AS done,
       extract(epoch FROM clock_timestamp() - $1)::float8 AS seconds
FROM graphile_worker._private_jobs
