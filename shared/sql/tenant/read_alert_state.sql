-- How a job stands that something is to be told of: the job $1, else that of the execution $2, which is
-- one of that job's and shows what there is to tell.
SELECT j.id AS job_id, j.name, CAST(j.notify AS text) AS notify, j.failing_since, j.late_since,
       e.id AS execution, e.scheduled_for, e.attempt, e.error_kind, e.error_message
FROM polychron_job j LEFT JOIN polychron_job_execution e ON e.id = $2
WHERE j.id = coalesce($1, (SELECT job_id FROM polychron_job_execution WHERE id = $2))
