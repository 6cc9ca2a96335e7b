-- Who changed what, and why. A row is written before the change it tells of, and completed after
-- it: no change is without one. `after` is null where the change was refused or did not come about.

CREATE TABLE audit (
    id     INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at     TEXT    NOT NULL,
    actor  TEXT    NOT NULL,
    action TEXT    NOT NULL,
    tenant TEXT,
    target TEXT,
    before TEXT CHECK (json_valid(before)),
    after  TEXT CHECK (json_valid(after)),
    reason TEXT
) STRICT;

CREATE INDEX audit_tenant ON audit (tenant, id);
