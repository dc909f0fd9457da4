-- $1 finished longer than so many seconds ago  $2 how many
DELETE FROM dispatcher.recoveries
WHERE id = ANY (ARRAY(
  SELECT id FROM dispatcher.recoveries
  WHERE state <> 'RUNNING' AND finished_at < now() - make_interval(secs => $1) LIMIT $2))
RETURNING 1
