-- $1 how many  $2 shards we own  $3 read ids above  $4 excluded environments
--
-- Read the oldest events that this daemon must check, with their schema, NULL if it is no longer
-- enforced. The event id maps to a shard, whose owner checks the event. Otherwise rows would be
-- locked during the check.
SELECT u.id, u.environment_id, u.type, t.schema::text AS schema
FROM (
  SELECT id, environment_id, type FROM dispatcher.unvalidated_events
  WHERE id > $3 AND (id & 63)::smallint = ANY ($2::smallint[])
    AND CASE WHEN environment_id = ANY ($4::text[]) THEN false ELSE true END ORDER BY id LIMIT $1
) AS u
LEFT JOIN LATERAL (
  SELECT schema FROM dispatcher.event_types WHERE environment_id = u.environment_id AND name = u.type AND enforce OFFSET 0
) AS t ON true
ORDER BY u.id
