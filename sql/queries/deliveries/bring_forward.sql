-- $1 look at ids above  $2 at how many  $3 shards  $4 seconds  $5 transaction id: only rows written by an older one
--
-- After the database's clock was set back: what was to be tried at a time that is now further off comes so much
-- earlier, parked rows too. No row twice: once moved, it is not older any more. One that is being recorded gets
-- its time there. Every part of the table is looked at once, a bounded number of rows a statement, by a range and
-- by row addresses: whatever the planner believes of the table, it compares no row with a list.
WITH part AS MATERIALIZED (
  SELECT max(id) AS last FROM (SELECT id FROM dispatcher.deliveries WHERE id > $1 ORDER BY id LIMIT $2) ids
), late AS MATERIALIZED (
  SELECT ctid FROM dispatcher.deliveries
  WHERE id > $1 AND id <= (SELECT last FROM part) AND shard = ANY ($3::smallint[])
    AND next_at > clock_timestamp() AND age(xmin) > age($5::text::xid8::xid)
  FOR UPDATE SKIP LOCKED
), moved AS (
  UPDATE dispatcher.deliveries SET next_at = next_at - make_interval(secs => $4)
  WHERE ctid = ANY (ARRAY(SELECT ctid FROM late)) RETURNING id
)
SELECT (SELECT last FROM part) AS last, (SELECT count(*) FROM moved) AS moved
