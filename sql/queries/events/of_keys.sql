-- $1 environment  $2 idempotency keys. Return the event of each key that was used.
SELECT key, event_id FROM dispatcher.idempotency_keys WHERE environment_id = $1 AND key = ANY ($2::text[])
