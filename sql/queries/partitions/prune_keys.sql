-- Delete idempotency keys. $1 events with ids below this one are gone  $2 most rows
DELETE FROM dispatcher.idempotency_keys
WHERE ctid = ANY (ARRAY(SELECT ctid FROM dispatcher.idempotency_keys WHERE event_id < $1 LIMIT $2))
RETURNING 1
