-- How far a running execution has come, by its handler's own word:
-- {"done": 3, "total": 10, "message": "..."}.
ALTER TABLE job_execution ADD COLUMN progress TEXT CHECK (progress IS NULL OR json_valid(progress));
