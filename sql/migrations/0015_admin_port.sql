-- What an environment has is counted before more is made, and tokens are listed in pages.
CREATE INDEX tokens_age ON dispatcher.tokens (created_at, id);
CREATE INDEX tokens_environment_age ON dispatcher.tokens (environment_id, created_at, id);
CREATE INDEX tokens_live ON dispatcher.tokens (environment_id) WHERE revoked_at IS NULL;
