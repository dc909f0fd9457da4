-- $1 environments  $2 types  $3 data: one element for each event
--
-- An event is skipped if no webhook of its environment subscribes to exactly this type. A value and not EXISTS, of
-- which the planner may make a join that reads all subscriptions.
INSERT INTO dispatcher.events (environment_id, type, data, source)
SELECT n.environment_id, n.type, n.data::json, 'dispatcher'
FROM unnest($1::text[], $2::text[], $3::text[]) AS n(environment_id, type, data)
WHERE (SELECT s.endpoint_id FROM dispatcher.subscriptions s WHERE s.environment_id = n.environment_id AND s.pattern = n.type LIMIT 1) IS NOT NULL
