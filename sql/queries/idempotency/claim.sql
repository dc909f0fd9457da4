-- $1 environment  $2 key  $3 fingerprint
--
-- Waits for whoever is answering a request with this key. No row: it was answered before.
INSERT INTO dispatcher.answered (environment_id, key, fingerprint) VALUES ($1, $2, $3)
ON CONFLICT (environment_id, key) DO NOTHING
RETURNING 1
