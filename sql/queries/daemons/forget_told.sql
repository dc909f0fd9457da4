-- Remove the status of daemons that no longer exist.
DELETE FROM dispatcher.daemon_facts f
WHERE f.facts_at < clock_timestamp() - interval '1 hour'
  AND NOT EXISTS (SELECT 1 FROM dispatcher.daemons d WHERE d.id = f.daemon_id)
