-- Records where this database lies. The key is written out, because SQLite would give an integer key the next
-- number instead of its default.
-- Parameters: $1 place, $2 file, $3 whether to replace what is recorded.
-- Result: 1 row changed; 0: it is settled already.
INSERT INTO polychron_installation (only_row, place, file)
VALUES (true, $1, $2)
ON CONFLICT (only_row) DO UPDATE SET place = excluded.place, file = excluded.file
WHERE $3
