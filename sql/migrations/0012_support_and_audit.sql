-- The scope `support`, and an audit log that is found by subject and by actor.

-- The name is that of the check in 0008, as PostgreSQL chose it.
ALTER TABLE dispatcher.tokens
  DROP CONSTRAINT tokens_scope_check,
  ADD CONSTRAINT tokens_scope_check CHECK (scope IN ('read', 'support', 'write', 'admin'));

ALTER TABLE dispatcher.audit ADD COLUMN via text CHECK (via IN ('api', 'dashboard'));  -- NULL: neither

-- A change by people writes one row, so that two more indexes cost little.
CREATE INDEX audit_subject ON dispatcher.audit (environment_id, subject, id);
CREATE INDEX audit_actor ON dispatcher.audit (environment_id, actor, id);
