-- Up to and including this time, occurrences may be missing from the history: they were pruned. The
-- engine's; whoever asks whether everything ran begins behind it.
ALTER TABLE job ADD COLUMN pruned_until TEXT;

-- Who is told of this job's final failure, lateness and recovery: null, as the tenant says for all
-- its jobs; {}, nobody; else {"url": "https://…"} with "headers", "signing_secret" and "on".
ALTER TABLE job ADD COLUMN notify TEXT
    CONSTRAINT "notify is null or a JSON object of at most 4 KiB"
    CHECK (notify IS NULL OR json_valid(notify) AND json_type(notify) = 'object' AND length(CAST(notify AS BLOB)) <= 4096);

-- Since when the job fails, and since when it is late: null while it doesn't. The engine's. Each
-- change of one of them is told once.
ALTER TABLE job ADD COLUMN failing_since TEXT;
ALTER TABLE job ADD COLUMN late_since TEXT;
CREATE INDEX job_late ON job (id) WHERE late_since IS NOT NULL;
