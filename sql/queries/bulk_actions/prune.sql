-- Delete old bulk actions. $1 seconds since they finished  $2 most rows
DELETE FROM dispatcher.bulk_actions
WHERE id = ANY (ARRAY(
  SELECT id FROM dispatcher.bulk_actions
  WHERE state <> 'RUNNING' AND finished_at < now() - make_interval(secs => $1) LIMIT $2))
RETURNING 1
