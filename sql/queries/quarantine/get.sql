-- $1 environment  $2 id
SELECT id, event_id, environment_id, type, endpoint_id, delivery_id, reason, detail, quarantined_at
FROM dispatcher.quarantine WHERE id = $2 AND environment_id = $1
