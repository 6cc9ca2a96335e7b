UPDATE polychron_job_execution SET status = 'running', started_at = now(), worker = 'me' WHERE id = $1 AND status = 'dispatched'
