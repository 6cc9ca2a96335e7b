-- Dispatch, third statement: inserts an occurrence's row.
-- Differs because SQLite needs a transaction of several statements.
-- Parameters: $1 now, $2 execution id, $3 job id, $4 scheduled_for, $5 status, $6 stands_for,
--   $7 error kind, $8 error message.
-- Result: 1 row inserted; 0: the occurrence has a row already.
INSERT INTO polychron_job_execution (
    id, job_id, scheduled_for, trigger, status, dispatched_at, finished_at,
    stands_for, error_kind, error_message
)
VALUES (
    $2, $3, $4, 'schedule', $5,
    CASE WHEN $5 = 'dispatched' THEN $1 END,
    CASE WHEN $5 = 'skipped' THEN $1 END,
    $6, $7, $8
)
ON CONFLICT DO NOTHING
