-- $1 limit  $2 owned shards
--
-- Read the oldest events that this daemon must check, with their schema, NULL if it is no longer
-- enforced. The event id maps to a shard, whose owner checks the event. Otherwise rows would be
-- locked during the check.
SELECT u.id, u.environment_id, u.type, t.schema::text AS schema
FROM (
  SELECT id, environment_id, type FROM dispatcher.unexamined
  WHERE (id & 63)::smallint = ANY ($2::smallint[]) ORDER BY id LIMIT $1
) AS u
LEFT JOIN LATERAL (
  SELECT schema FROM dispatcher.event_types WHERE environment_id = u.environment_id AND name = u.type AND enforce OFFSET 0
) AS t ON true
ORDER BY u.id
