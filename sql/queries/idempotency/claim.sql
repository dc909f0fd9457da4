-- $1 environment  $2 key  $3 fingerprint. No row: a request with this key was answered before.
--
-- The statement waits while another transaction holds a claim on the key.
INSERT INTO dispatcher.idempotent_responses (environment_id, key, fingerprint) VALUES ($1, $2, $3)
ON CONFLICT (environment_id, key) DO NOTHING
RETURNING 1
