-- $1 read inbox ids above  $2 and up to  $3 environments whose turn it is not
--
-- The oldest such row, and up to where was looked: a bounded look, which takes nothing. Not into the
-- last second, so that whoever goes on from there passes over no row that is being inserted.
WITH range AS MATERIALIZED (
  SELECT greatest($1::bigint, least($2::bigint, dispatcher.id_floor(clock_timestamp() - interval '1 second'))) AS up_to
)
SELECT up_to, (
  SELECT id FROM dispatcher.inbox
  WHERE id > $1 AND id <= range.up_to AND CASE WHEN environment_id = ANY ($3::text[]) THEN false ELSE true END
  ORDER BY id LIMIT 1) AS first
FROM range
