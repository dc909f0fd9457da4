-- $1 daemon id  $2 how many  Then those it has seen silent for 1.2 s, a value a daemon: $3 ids  $4 their counts of
-- renewals  $5 whether for the whole lease of 10 s
--
-- Free for taking: a shard without an owner; one whose owner has been silent for 1.2 s, by when it has stopped
-- sending, and whose session has ended; one whose owner, frozen or cut off, has been silent for the whole lease.
-- The claimer times the silence by its own steady clock: the database's may have been set meanwhile.
--
-- A session has ended if its server process is not there any more, or another one has its pid. When a
-- process was started is hidden from other roles: then it counts as the same one.
--
-- Who is taken for dead is removed in the same statement: a heartbeat of it either comes first, and
-- it is not dead, or finds no row, and it knows. The owner's `age` in seconds is negative if the clock was set back.
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
), free AS (                                 -- locked, and still as seen: not claimed by one who came meanwhile
  SELECT s.shard, seen.age FROM dispatcher.shards s JOIN seen ON seen.shard = s.shard AND s.owner IS NOT DISTINCT FROM seen.owner
  ORDER BY s.shard LIMIT $2 FOR UPDATE OF s SKIP LOCKED
)
UPDATE dispatcher.shards s SET owner = $1, epoch = s.epoch + 1
FROM free WHERE s.shard = free.shard
RETURNING s.shard, free.age
