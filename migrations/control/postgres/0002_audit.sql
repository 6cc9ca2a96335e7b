-- Who changed what, and why. A row is written before the change it tells of, and completed after
-- it: no change is without one. `after` is null where the change was refused or did not come about.

CREATE TABLE audit (
    id     bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     timestamptz NOT NULL,
    actor  text        NOT NULL,
    action text        NOT NULL,
    tenant text,
    target text,
    before jsonb,
    after  jsonb,
    reason text
);

CREATE INDEX audit_tenant ON audit (tenant, id);
