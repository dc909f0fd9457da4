-- $1 environment  $2 type  $3 data. Only where somebody asked for exactly this type.
INSERT INTO dispatcher.events (environment_id, type, data, source)
SELECT $1, $2, $3::json, 'dispatcher'
WHERE EXISTS (SELECT 1 FROM dispatcher.subscriptions WHERE environment_id = $1 AND pattern = $2)
