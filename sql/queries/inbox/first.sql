-- $1 read inbox ids above this one  $2 up to this one  $3 excluded environments
--
-- Return the id of the first row that is of no excluded environment, and the id up to which the inbox was
-- read. The last second is not read. Otherwise a caller that continues from that id could miss a row that
-- is being inserted. With excluded environments at most 50000 rows are read, as they may have millions.
-- IN: see fan_out.sql.
WITH range AS MATERIALIZED (
  SELECT greatest($1::bigint, least($2::bigint, dispatcher.id_floor(clock_timestamp() - interval '1 second'))) AS up_to
), excluded AS MATERIALIZED (                  -- for the empty text, see fan_out.sql
  SELECT $3::text[] || CASE WHEN '' = ANY ($3::text[]) THEN ARRAY(
    SELECT DISTINCT environment_id FROM dispatcher.endpoints WHERE ordered AND deleted_at IS NULL) END AS environments
), ahead AS MATERIALIZED (
  SELECT min(CASE WHEN environment_id IN (SELECT unnest(environments) FROM excluded) THEN NULL ELSE id END) AS first, max(id) AS last, count(*) AS rows
  FROM (SELECT id, environment_id FROM dispatcher.inbox WHERE id > $1 AND id <= (SELECT up_to FROM range)
        ORDER BY id LIMIT CASE WHEN cardinality($3::text[]) > 0 THEN 50000 ELSE 1 END) AS next
)
SELECT CASE WHEN rows = 50000 THEN last ELSE up_to END AS up_to, first FROM range CROSS JOIN ahead
