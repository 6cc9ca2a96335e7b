-- Deletes a job; a trigger ends what is open of it in the same move.
DELETE FROM polychron_job WHERE id = $1
