-- $1 read ids above  $2 how many rows to read  $3 shards  $4 seconds  $5 transaction id: only
-- rows written by an older transaction
--
-- After the database's clock was set back by $4, move future times of retries back as much, of
-- parked rows too. No row moves twice: a moved row was written by a newer transaction. SKIP LOCKED:
-- a row that is being recorded gets its new time from that statement. The table is read once in
-- ranges of ids, a bounded number of rows a statement, and updated by row address. Otherwise, with
-- bad statistics, the planner could compare each row with a list of ids.
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
