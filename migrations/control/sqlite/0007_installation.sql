-- Where this database lies. A copy brings along the list of tenants, which leads to the original's databases,
-- and this row, by which it is known as a copy: it runs nothing before somebody says what it is.

CREATE TABLE polychron_installation (
    only_row INTEGER NOT NULL PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
    -- The server's system identifier and the database's oid; for SQLite, the path.
    place    TEXT    NOT NULL,
    -- For SQLite, device and inode.
    file     TEXT
) STRICT;
