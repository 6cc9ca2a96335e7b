-- Each probe's due time and when its handler was called, which is its result; milliseconds between them.
SELECT (extract(epoch FROM (e.result #>> '{}')::timestamptz - e.scheduled_for) * 1000)::float8
FROM polychron_job_execution e JOIN polychron_job j ON j.id = e.job_id WHERE j.job_type = 'record' AND e.status = 'success'
