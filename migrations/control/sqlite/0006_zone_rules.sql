-- The time zone rules of the installation, the latest last; without any, those built into the programs
-- count. Each set holds from its time on, until that of the next. `content` is what `hash` identifies.
CREATE TABLE polychron_zone_rules (
    number        INTEGER NOT NULL PRIMARY KEY,
    hash          TEXT    NOT NULL,
    version       TEXT    NOT NULL,
    source        TEXT    NOT NULL,
    in_force_from TEXT    NOT NULL,
    content       BLOB    NOT NULL
) STRICT;

-- The hash of the rules by which each producer works. Null: a producer of an earlier version, which
-- knows its built-in rules only.
ALTER TABLE polychron_producer ADD COLUMN zone_rules TEXT;
