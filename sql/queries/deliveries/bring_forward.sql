-- $1 look at ids above  $2 at how many  $3 shards  $4 seconds  $5 transaction id: only rows written by an older one
--
-- After the database's clock was set back: what was to be tried at a time that is now further off comes so much
-- earlier, parked rows too. No row twice: once moved, it is not older any more. One that is being recorded gets
-- its time there. Every part of the table is looked at once, a bounded number of rows a statement.
WITH part AS MATERIALIZED (
  SELECT id FROM dispatcher.deliveries WHERE id > $1 ORDER BY id LIMIT $2
), late AS MATERIALIZED (
  SELECT id FROM dispatcher.deliveries
  WHERE id = ANY (ARRAY(SELECT id FROM part)) AND shard = ANY ($3::smallint[])
    AND next_at > clock_timestamp() AND age(xmin) > age($5::text::xid8::xid)
  FOR UPDATE SKIP LOCKED
), moved AS (
  UPDATE dispatcher.deliveries SET next_at = next_at - make_interval(secs => $4)
  WHERE id = ANY (ARRAY(SELECT id FROM late)) RETURNING id
)
SELECT (SELECT max(id) FROM part) AS last, (SELECT count(*) FROM moved) AS moved
