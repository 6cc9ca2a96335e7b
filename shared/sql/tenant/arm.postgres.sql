-- Arms jobs: sets the first time of their present schedules. Guarded by version, so an edit wins. A row
-- that another session has locked is left out, so this statement waits for no one.
-- Differs because PostgreSQL takes a batch as arrays.
-- Parameters: $1 job ids, $2 versions read, $3 first times (arrays of one length), $4 schedule_since.
-- Result: the ids of the rows changed; jobs locked, edited or armed meanwhile are left out.
WITH locked AS MATERIALIZED (
    SELECT j.id, a.version, a.next_run_at
    FROM unnest($1::bigint[], $2::integer[], $3::timestamptz[]) AS a(id, version, next_run_at),
         polychron_job j
    WHERE j.id = a.id
      AND j.version = a.version
      AND j.next_run_at IS NULL
      AND j.is_enabled
    FOR NO KEY UPDATE OF j SKIP LOCKED
)
UPDATE polychron_job j
SET next_run_at = a.next_run_at,
    schedule_since = $4
FROM locked a
WHERE j.id = a.id
  AND j.version = a.version
  AND j.next_run_at IS NULL
  AND j.is_enabled
RETURNING j.id
