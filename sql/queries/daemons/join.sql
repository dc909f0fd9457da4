-- $1 daemon id  $2 the id that this process had before it lost its session, or NULL
--
-- The shards of the old id are taken over at once, as the process knows that it sends nothing for
-- them any more. SKIP LOCKED: the lost session may still hold locks, as its server process may be
-- frozen. Otherwise this would wait.
WITH stale AS (
  DELETE FROM dispatcher.daemons WHERE id = ANY (ARRAY(SELECT id FROM dispatcher.daemons WHERE id = $2 FOR UPDATE SKIP LOCKED))
), inherited AS (
  UPDATE dispatcher.shards SET owner = $1, epoch = epoch + 1
  WHERE shard = ANY (ARRAY(SELECT shard FROM dispatcher.shards WHERE owner = $2 FOR UPDATE SKIP LOCKED))
)
INSERT INTO dispatcher.daemons (id, backend_pid, backend_start, renewed_at)
SELECT $1, pg_backend_pid(), (SELECT backend_start FROM pg_stat_get_activity(pg_backend_pid())), clock_timestamp()
ON CONFLICT (id) DO UPDATE SET backend_pid = excluded.backend_pid, backend_start = excluded.backend_start, renewed_at = excluded.renewed_at
