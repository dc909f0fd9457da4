-- $1 environment  $2 types  $3 data, JSON texts  $4 idempotency keys, or NULL  $5 references, or NULL: one
-- element for each event
--
-- Emit events in one statement, with the rights of a producer alone. Return their ids in the order of the arrays; for a
-- key that was used before, the id of the first event. Keys are claimed in their order, as in emit_many.sql.
WITH emitted AS MATERIALIZED (
  SELECT n.place, dispatcher.emit(n.type, n.data::json, $1, n.key, reference => n.reference) AS id
  FROM (
    SELECT place, type, data, key, reference FROM unnest($2::text[], $3::text[], $4::text[], $5::text[])
      WITH ORDINALITY AS given(type, data, key, reference, place) ORDER BY key, place
  ) AS n
)
SELECT id FROM emitted ORDER BY place
