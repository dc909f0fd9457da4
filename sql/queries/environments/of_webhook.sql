-- $1 webhook, also a deleted one. No row: there is no such webhook.
SELECT environment_id FROM dispatcher.endpoints WHERE id = $1
