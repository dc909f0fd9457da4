-- $1 events with ids below are gone  $2 how many keys
DELETE FROM dispatcher.idempotency_keys
WHERE ctid = ANY (ARRAY(SELECT ctid FROM dispatcher.idempotency_keys WHERE event_id < $1 LIMIT $2))
RETURNING 1
