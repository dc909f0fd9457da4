-- $1 read inbox ids above this one  $2 up to this one  $3 excluded environments
--
-- Return the first such row, and the id up to which the inbox was read. The last second is not read:
-- otherwise a caller that continues from that id could miss a row that is being inserted.
WITH range AS MATERIALIZED (
  SELECT greatest($1::bigint, least($2::bigint, dispatcher.id_floor(clock_timestamp() - interval '1 second'))) AS up_to
)
SELECT up_to, (
  SELECT id FROM dispatcher.inbox
  WHERE id > $1 AND id <= range.up_to AND CASE WHEN environment_id = ANY ($3::text[]) THEN false ELSE true END
  ORDER BY id LIMIT 1) AS first
FROM range
