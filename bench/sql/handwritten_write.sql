WITH ended AS (
    UPDATE polychron_job_execution e SET status = 'success', finished_at = now(), result = i.result
    FROM unnest($2::uuid[], $3::jsonb[]) AS i(id, result) WHERE e.id = i.id AND e.status = 'running'
)
UPDATE polychron_job_execution e SET status = 'running', started_at = now(), worker = 'me'
FROM unnest($1::uuid[]) AS i(id) WHERE e.id = i.id AND e.status = 'dispatched' RETURNING e.id
