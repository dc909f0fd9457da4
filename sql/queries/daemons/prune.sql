-- Remove daemons that own no shard and have been silent for an hour.
DELETE FROM dispatcher.daemons d
WHERE d.renewed_at < clock_timestamp() - interval '1 hour'
  AND NOT EXISTS (SELECT 1 FROM dispatcher.shards s WHERE s.owner = d.id)
