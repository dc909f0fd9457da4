-- $1 daemon id  $2 the endpoint version it has acted on. No row: it was taken for dead and removed.
--
-- One heartbeat row a daemon stands for all its shards. What a daemon must know to go on sending
-- comes back in the same answer: what it owns, whether endpoints changed, who else is alive, and whether
-- somebody changed a delivery of its shards.
UPDATE dispatcher.daemons SET renewed_at = clock_timestamp(), confirmed_version = $2 WHERE id = $1
RETURNING extract(epoch FROM clock_timestamp())::float8 AS now,
  (SELECT version FROM dispatcher.endpoint_version) AS version,
  ARRAY(SELECT shard FROM dispatcher.shards WHERE owner = $1) AS shards,
  EXISTS (SELECT 1 FROM dispatcher.nudges WHERE shard = ANY (ARRAY(SELECT shard FROM dispatcher.shards WHERE owner = $1))) AS nudged,
  (SELECT count(*) FROM dispatcher.daemons WHERE id <> $1 AND abs(extract(epoch FROM clock_timestamp() - renewed_at)) < 1.2) AS others
