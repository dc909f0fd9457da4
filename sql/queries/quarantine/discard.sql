-- $1 environment  $2 id
DELETE FROM dispatcher.quarantine WHERE id = $2 AND environment_id = $1 RETURNING event_id, type, reason
