-- Corrects the times of open rows that were written while the clock was ahead. No lease, backoff or
-- dispatch reaches that far into the future. A live worker renews its lease; the row of a dead one is
-- rescued when it ends.
-- Parameters: $1 now, $2 the latest time that can be right, $3 when a lease ends at the latest.
-- Result: rows changed.
UPDATE polychron_job_execution
SET available_at = CASE WHEN status = 'scheduled' THEN $1 ELSE available_at END,
    lease_until = CASE WHEN status = 'running' THEN $3 ELSE lease_until END,
    dispatched_at = CASE WHEN status = 'dispatched' AND dispatched_at > $1 THEN $1 ELSE dispatched_at END,
    published_at = CASE WHEN status = 'dispatched' AND published_at > $1 THEN $1 ELSE published_at END
WHERE finished_at IS NULL
  AND ((status = 'scheduled' AND available_at > $2 AND trigger IN ('retry', 'rescue'))
       OR (status = 'running' AND lease_until > $2)
       OR (status = 'dispatched' AND (dispatched_at > $2 OR published_at > $2)))
