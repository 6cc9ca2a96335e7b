-- $2 - $1 + 1 executions that have succeeded, of a thousand jobs, a minute apart, the first of them
-- $3 in all before now; ids sort by time, as the producer's do.
INSERT INTO polychron_job_execution (id, job_id, scheduled_for, trigger, status, dispatched_at, published_at, publish_count,
                           started_at, finished_at, lease_until, deadline_at, worker, job_version, payload, result)
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3)
        || '8' || substr(md5(n::text), 4, 15))::uuid,
       1 + n % 1000, at, 'schedule', 'success', at, at, 1, at, at, at, at, 'past-worker', 1, '{}', 'null'
FROM (SELECT n, date_trunc('minute', now()) - (($3 - n) / 1000 + 1) * interval '1 minute' AS at
      FROM generate_series($1, $2) AS n) AS past
