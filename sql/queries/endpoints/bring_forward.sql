-- $1 home shards  $2 seconds  $3 transaction id: only rests written by an older transaction
--
-- After the database's clock was set back, end the rests that receivers asked for earlier by as
-- many seconds. Lock the version counter first, as every change to endpoints does. Otherwise two
-- changes could deadlock.
WITH next AS (
  UPDATE dispatcher.endpoint_version SET version = version + 1
  WHERE EXISTS (SELECT 1 FROM dispatcher.endpoint_health WHERE resting_until > clock_timestamp())
  RETURNING version
), late AS MATERIALIZED (
  SELECT h.endpoint_id, next.version
  FROM next, dispatcher.endpoint_health h JOIN dispatcher.endpoints e ON e.id = h.endpoint_id
  WHERE e.home_shard = ANY ($1::smallint[]) AND h.resting_until > clock_timestamp() AND age(h.xmin) > age($3::text::xid8::xid)
  FOR UPDATE OF h
), moved AS (
  UPDATE dispatcher.endpoint_health h SET resting_until = h.resting_until - make_interval(secs => $2)
  FROM late WHERE h.endpoint_id = late.endpoint_id
)
UPDATE dispatcher.endpoints e SET version = late.version FROM late WHERE e.id = late.endpoint_id
