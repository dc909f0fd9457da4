-- $1 daemon id  $2 the id that this very process had before its session was lost, or NULL
--
-- What that one owned is handed over at once: the process knows that it sends nothing by it any more.
-- Rows that the lost session still holds locked (its server process may be frozen) are not waited for.
WITH stale AS (
  DELETE FROM dispatcher.daemons WHERE id = ANY (ARRAY(SELECT id FROM dispatcher.daemons WHERE id = $2 FOR UPDATE SKIP LOCKED))
), inherited AS (
  UPDATE dispatcher.shards SET owner = $1, epoch = epoch + 1
  WHERE shard = ANY (ARRAY(SELECT shard FROM dispatcher.shards WHERE owner = $2 FOR UPDATE SKIP LOCKED))
)
INSERT INTO dispatcher.daemons (id, backend_pid, backend_start, renewed_at)
SELECT $1, pg_backend_pid(), (SELECT backend_start FROM pg_stat_get_activity(pg_backend_pid())), clock_timestamp()
ON CONFLICT (id) DO UPDATE SET backend_pid = excluded.backend_pid, backend_start = excluded.backend_start, renewed_at = excluded.renewed_at
