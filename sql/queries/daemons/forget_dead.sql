-- Rows of daemons that own nothing and have been silent for long.
DELETE FROM dispatcher.daemons d
WHERE d.renewed_at < clock_timestamp() - interval '1 hour'
  AND NOT EXISTS (SELECT 1 FROM dispatcher.shards s WHERE s.owner = d.id)
