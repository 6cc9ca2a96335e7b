-- How many jobs have succeeded, and how long after $1 the last of them did.
SELECT count(*) AS done, extract(epoch FROM max(at) - $1)::float8 AS seconds
FROM procrastinate_events WHERE type = 'succeeded'
