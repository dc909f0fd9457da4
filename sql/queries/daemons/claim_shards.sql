-- $1 daemon id  $2 how many
--
-- Free for taking: a shard without an owner; one whose owner's session has ended (its advisory
-- lock is free) and has not renewed for 1.2 s, by when it has stopped sending; one whose owner,
-- frozen or cut off, has not renewed for the whole lease of 10 s.
--
-- Who is taken for dead is removed in the same statement: a heartbeat of it either comes first, and
-- it is not dead, or finds no row, and it knows.
WITH dead AS (
  DELETE FROM dispatcher.daemons
  WHERE id = ANY (ARRAY(
    SELECT d.id FROM dispatcher.daemons d
    WHERE d.id <> $1 AND abs(extract(epoch FROM clock_timestamp() - d.renewed_at)) > 1.2   -- a clock can be set back
      AND (d.renewed_at < clock_timestamp() - interval '10 s'
           OR NOT EXISTS (SELECT 1 FROM pg_locks l
                          WHERE l.locktype = 'advisory' AND l.classid = 1684632432 AND l.objid = d.lock_key::oid AND l.objsubid = 2
                            AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())))
    FOR UPDATE SKIP LOCKED))
  RETURNING id
), seen AS MATERIALIZED (
  SELECT s.shard, s.owner FROM dispatcher.shards s
  WHERE s.owner IS NULL OR s.owner IN (SELECT id FROM dead)
     OR NOT EXISTS (SELECT 1 FROM dispatcher.daemons d WHERE d.id = s.owner)
), free AS (                                 -- locked, and still as seen: not claimed by one who came meanwhile
  SELECT s.shard FROM dispatcher.shards s JOIN seen ON seen.shard = s.shard AND s.owner IS NOT DISTINCT FROM seen.owner
  ORDER BY s.shard LIMIT $2 FOR UPDATE OF s SKIP LOCKED
)
UPDATE dispatcher.shards s SET owner = $1, epoch = s.epoch + 1
FROM free WHERE s.shard = free.shard
RETURNING s.shard
