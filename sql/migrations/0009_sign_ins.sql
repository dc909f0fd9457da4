-- Who is signed in to the dashboard. The cookie is 256 random bits; its SHA-256 is kept.

CREATE TABLE dispatcher.sign_ins (
  id bytea PRIMARY KEY CHECK (octet_length(id) = 32),
  token_hash bytea NOT NULL,               -- of the token one signed in with; with it gone, this is void
  environment_id text NOT NULL,            -- which one is looked at
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL
);
CREATE INDEX sign_ins_age ON dispatcher.sign_ins (expires_at);

REVOKE ALL ON dispatcher.sign_ins FROM PUBLIC;
