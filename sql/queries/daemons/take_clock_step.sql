-- Return by how many seconds the clock was set back since the last daemon ran, and the shards that have
-- no owner, or whose owner has no row. No row: the clock was not set back.
--
-- While a daemon runs, it sets listen_until to 10 s ahead, every 3 s. If listen_until is 5 s further ahead
-- and there is no daemon, the clock was set back while none ran. A row of a daemon whose last heartbeat is
-- 5 s or more in the future does not count: it was left by a daemon that was killed before the step. The
-- rows of shards that this daemon still owns are moved when the shards are claimed, see claim_shards.sql.
-- Of several daemons that start at once, only one gets the answer: the others find the row of shard 0
-- locked, or listen_until reset. Otherwise rows could be moved twice.
WITH first AS MATERIALIZED (
  SELECT shard FROM dispatcher.shards
  WHERE shard = 0 AND NOT EXISTS (SELECT 1 FROM dispatcher.daemons WHERE renewed_at < clock_timestamp() + interval '5 s')
  FOR UPDATE SKIP LOCKED
), ahead AS MATERIALIZED (
  SELECT pg_sequence_last_value('dispatcher.listen_until') - 10000 - dispatcher.now_ms() AS ms FROM first
)
SELECT ms / 1000.0::float8 AS seconds,
       ARRAY(SELECT s.shard FROM dispatcher.shards s
             WHERE NOT EXISTS (SELECT 1 FROM dispatcher.daemons d WHERE d.id = s.owner)) AS shards,
       setval('dispatcher.listen_until', 0)
FROM ahead WHERE ms >= 5000
