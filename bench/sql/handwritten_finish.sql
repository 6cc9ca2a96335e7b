UPDATE polychron_job_execution SET status = 'success', finished_at = now(), result = $2 WHERE id = $1 AND status = 'running'
