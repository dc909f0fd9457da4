-- $1 environment  $2 key
SELECT fingerprint, status, body FROM dispatcher.idempotent_responses WHERE environment_id = $1 AND key = $2
