-- How many tasks have succeeded, and how long after $1 the last of them did. Celery keeps UTC without a zone.
SELECT count(*) AS done, extract(epoch FROM max(date_done AT TIME ZONE 'UTC') - $1)::float8 AS seconds
FROM celery_taskmeta WHERE status = 'SUCCESS'
