-- $1 environment  $2 types  $3 data, JSON texts  $4 idempotency keys, or NULL  $5 references, or NULL: one
-- element for each event
--
-- Return one row: the ids in the order of the arrays, NULL for an event whose key was used before; in the same order the
-- ids of those earlier events, NULL for one of another transaction that was not committed when the statement began; and those of the types whose
-- schema is enforced. Keys are claimed in their order. Otherwise two requests with the same keys could wait for each other.
WITH given AS MATERIALIZED (
  SELECT n.place, dispatcher.next_id() AS id, n.type, n.data, n.key, n.reference
  FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) WITH ORDINALITY AS n(type, data, key, reference, place)
), inserted AS (
  INSERT INTO dispatcher.events (id, environment_id, type, data, idempotency_key, reference)
  SELECT id, $1, type, data::json, key, reference FROM given ORDER BY key, place
  RETURNING id
), claimed AS MATERIALIZED (
  SELECT g.key, i.id FROM given g JOIN inserted i ON i.id = g.id WHERE g.key IS NOT NULL
)
SELECT array_agg(i.id ORDER BY g.place) AS ids,
       array_agg(CASE WHEN i.id IS NULL THEN
         coalesce(c.id, (SELECT k.event_id FROM dispatcher.idempotency_keys k WHERE k.environment_id = $1 AND k.key = g.key))
       END ORDER BY g.place) AS earlier,
       ARRAY(SELECT name FROM dispatcher.event_types WHERE environment_id = $1 AND enforce AND name = ANY ($2)) AS enforced
FROM given g LEFT JOIN inserted i ON i.id = g.id LEFT JOIN claimed c ON c.key = g.key
