-- How many tasks are done, and how long after $1 the last of them was.
SELECT count(*) AS done, extract(epoch FROM max(done_at) - $1)::float8 AS seconds
FROM apalis.jobs WHERE status = 'Done'
