-- What administration needs: tokens, dashboard sessions, the audit log, and responses to repeated requests.

CREATE TABLE dispatcher.tokens (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  name text NOT NULL,
  environment_id text REFERENCES dispatcher.environments,  -- NULL: all of them
  scope text NOT NULL CHECK (scope IN ('read', 'write', 'admin')),
  hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz,
  last_used_at timestamptz,                -- to the minute, so that a token is not written at every request
  revoked_at timestamptz                   -- revoked rows stay, because the audit log names them
);
CREATE INDEX tokens_age ON dispatcher.tokens (created_at, id);
CREATE INDEX tokens_environment_age ON dispatcher.tokens (environment_id, created_at, id);
CREATE INDEX tokens_live ON dispatcher.tokens (environment_id) WHERE revoked_at IS NULL;  -- counted before one is created
COMMENT ON TABLE dispatcher.tokens IS
  'API tokens. A token is shown once, and only its SHA-256 is stored. It is 256 random bits, so a hash without salt'
  ' cannot be guessed from, and the time of a look-up by index reveals nothing.';

CREATE TABLE dispatcher.dashboard_sessions (
  id bytea PRIMARY KEY CHECK (octet_length(id) = 32),  -- the SHA-256 of the cookie, which is 256 random bits
  token_hash bytea NOT NULL,               -- of the token of the sign-in; if that is revoked, the session is invalid
  environment_id text NOT NULL,            -- the one that is shown
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL
);
CREATE INDEX dashboard_sessions_age ON dispatcher.dashboard_sessions (expires_at);  -- for maintenance
-- A sign-in ends the oldest sessions of a token if there are very many.
CREATE INDEX dashboard_sessions_token ON dispatcher.dashboard_sessions (token_hash, created_at);
COMMENT ON TABLE dispatcher.dashboard_sessions IS 'Sessions of the dashboard. The dashboard writes and reads it.';

CREATE TABLE dispatcher.audit (
  id bigint PRIMARY KEY DEFAULT dispatcher.next_id(),
  environment_id text,                     -- NULL: the change concerns all of them
  actor text NOT NULL,                     -- 'token:<id>', 'cli:<user>', 'dispatcher'
  action text NOT NULL,                    -- 'webhook.update', in the words of the API
  subject text NOT NULL,                   -- the id of what was changed
  detail json NOT NULL DEFAULT '{}',       -- never a secret
  request_id text,
  address text                             -- of the client
);
CREATE INDEX audit_environment ON dispatcher.audit (environment_id, id);
COMMENT ON TABLE dispatcher.audit IS
  'The audit log. A change writes its entry in its own transaction, so that there is none without the other. The API'
  ' reads it.';

CREATE TABLE dispatcher.idempotent_responses (
  environment_id text NOT NULL,            -- '*': the request concerns all of them
  key text NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 255),
  fingerprint bytea NOT NULL,              -- of method, path and body: another request with the key is refused
  status smallint,
  body bytea,                              -- without secrets
  responded_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (environment_id, key)
);
CREATE INDEX idempotent_responses_age ON dispatcher.idempotent_responses (responded_at);  -- for maintenance
COMMENT ON TABLE dispatcher.idempotent_responses IS
  'Responses to requests with an Idempotency-Key, kept for a day. The API writes a row in the transaction of the change,'
  ' so that a second request with the key waits for its commit and then gets the same response.';
