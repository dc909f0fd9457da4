-- Remove the status of daemons that no longer exist.
DELETE FROM dispatcher.daemon_status p
WHERE p.published_at < clock_timestamp() - interval '1 hour'
  AND NOT EXISTS (SELECT 1 FROM dispatcher.daemons d WHERE d.id = p.daemon_id)
