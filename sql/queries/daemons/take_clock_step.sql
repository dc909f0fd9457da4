-- Return by how many seconds the clock was set back since the last daemon ran, and the shards that
-- no daemon's row names; no row if it was not.
--
-- While a daemon runs, listen_until is renewed every 3 s to 10 s ahead. If it is 5 s further ahead and
-- there is no daemon, the clock was set back while none ran. A row of a daemon whose last heartbeat is
-- 5 s or more in the future does not count: it was left by a daemon that was killed before the step.
-- Shards that it still names are moved when they are claimed, see claim_shards.sql. Of several daemons
-- that start at once, only one gets the answer: the others find the row locked, or listen_until reset.
-- Otherwise rows could be moved twice.
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
