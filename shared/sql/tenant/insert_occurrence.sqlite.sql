-- Third statement of the dispatch: inserts one occurrence's row, unless it has one.
-- Differs because SQLite needs a transaction of several statements.
INSERT INTO polychron_job_execution (id, job_id, scheduled_for, trigger, status, dispatched_at, finished_at,
                           stands_for, error_kind, error_message)
VALUES ($2, $3, $4, 'schedule', $5, CASE WHEN $5 = 'dispatched' THEN $1 END, CASE WHEN $5 = 'skipped' THEN $1 END,
        $6, $7, $8)
ON CONFLICT DO NOTHING
