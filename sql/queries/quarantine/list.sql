-- $1 environment  $2 ids below this one  $3 most rows. Pairs are compared, so that the one index
-- with their order is used.
SELECT id, event_id, environment_id, type, endpoint_id, delivery_id, reason, detail, quarantined_at
FROM dispatcher.quarantine WHERE (environment_id, id) < ($1, $2) AND (environment_id, id) >= ($1, 0)
ORDER BY environment_id DESC, id DESC LIMIT $3
