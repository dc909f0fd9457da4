-- $1 daemon id  $2 most shards to claim  Then the daemons it has seen silent for 1.2 s, as arrays
-- with one element a daemon: $3 ids  $4 counts of renewals  $5 true: silent for the whole lease of
-- 10 s
--
-- A shard is free if it has no owner; or if its owner has been silent for 1.2 s, so it has stopped
-- sending, and the owner's session has ended; or if its owner, frozen or disconnected, has been
-- silent for the whole lease. The claimer measures the silence by its own steady clock, as the
-- database's clock may have been set.
--
-- A session has ended if its server process is gone, or another process has its pid. The start time
-- of a process is hidden from other roles: then it counts as the same process.
--
-- The same statement removes the dead daemons. So a late heartbeat either comes first, and its
-- daemon is not dead, or it finds no row, and the daemon knows that it has lost its shards. The
-- owner's `age` in seconds is negative if the clock was set back.
WITH dead AS (
  DELETE FROM dispatcher.daemons
  WHERE id = ANY (ARRAY(
    SELECT d.id FROM dispatcher.daemons d
    JOIN unnest($3::bigint[], $4::bigint[], $5::boolean[]) AS silent(id, renewals, whole_lease)
      ON silent.id = d.id AND silent.renewals = d.renewals
    WHERE d.id <> $1
      AND (silent.whole_lease
           OR (d.backend_pid IS NOT NULL
               AND NOT EXISTS (SELECT 1 FROM pg_stat_get_activity(d.backend_pid) a
                               WHERE a.datid = (SELECT oid FROM pg_database WHERE datname = current_database())
                                 AND (a.backend_start = d.backend_start) IS NOT FALSE)))
    FOR UPDATE OF d SKIP LOCKED))
  RETURNING id, extract(epoch FROM clock_timestamp() - renewed_at)::float8 AS age
), seen AS MATERIALIZED (
  SELECT s.shard, s.owner, dead.age FROM dispatcher.shards s LEFT JOIN dead ON dead.id = s.owner
  WHERE s.owner IS NULL OR dead.id IS NOT NULL
     OR NOT EXISTS (SELECT 1 FROM dispatcher.daemons d WHERE d.id = s.owner)
), free AS (                                 -- locked, and with the owner as seen: no other daemon has claimed it
  SELECT s.shard, seen.age FROM dispatcher.shards s JOIN seen ON seen.shard = s.shard AND s.owner IS NOT DISTINCT FROM seen.owner
  ORDER BY s.shard LIMIT $2 FOR UPDATE OF s SKIP LOCKED
)
UPDATE dispatcher.shards s SET owner = $1, epoch = s.epoch + 1
FROM free WHERE s.shard = free.shard
RETURNING s.shard, free.age
