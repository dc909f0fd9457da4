-- $1 delivery ids  $2 owned shards  $3 recorded attempts and $4 times of the next one (epoch seconds),
-- as the daemon knows them, with one element a delivery. Park deliveries whose endpoint queue is full
-- or whose endpoint is inactive: this takes them out of the index of due rows. CASE: otherwise the
-- planner may scan that whole index.
--
-- A time in the future is of a clock that was set back, or that of a retry in an ordered queue. The
-- former is mended here, as this transaction is too new for bring_forward.sql: a delivery without
-- attempts was due when it was made, and the daemon knows the time of a retry, unless it has been
-- tried since.
UPDATE dispatcher.deliveries SET parked = true, next_at = CASE
  WHEN next_at <= clock_timestamp() THEN next_at
  WHEN attempt = base THEN clock_timestamp()
  WHEN attempt = ($3::int[])[array_position($1::bigint[], id)] THEN least(next_at, to_timestamp(($4::float8[])[array_position($1, id)]))
  ELSE next_at END
WHERE id = ANY ($1::bigint[]) AND CASE WHEN parked THEN false ELSE shard = ANY ($2::smallint[]) END
