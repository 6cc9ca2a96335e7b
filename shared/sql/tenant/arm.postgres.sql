-- Arms jobs: sets the first time of their present schedules. Guarded by version, so an edit wins.
-- Differs because PostgreSQL takes a batch as arrays.
-- Parameters: $1 job ids, $2 versions read, $3 first times (arrays of one length), $4 schedule_since.
-- Result: rows changed; jobs edited or armed meanwhile are left out.
UPDATE polychron_job j
SET next_run_at = a.next_run_at,
    schedule_since = $4
FROM unnest($1::bigint[], $2::integer[], $3::timestamptz[]) AS a(id, version, next_run_at)
WHERE j.id = a.id
  AND j.version = a.version
  AND j.next_run_at IS NULL
  AND j.is_enabled
