-- Gives jobs their first time under the present schedule; guarded by version, so that an edit wins.
-- Differs because PostgreSQL takes a batch as arrays.
UPDATE polychron_job j SET next_run_at = a.next_run_at, schedule_since = $4
FROM unnest($1::bigint[], $2::integer[], $3::timestamptz[]) AS a(id, version, next_run_at)
WHERE j.id = a.id AND j.version = a.version AND j.next_run_at IS NULL AND j.is_enabled
