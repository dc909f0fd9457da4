-- $1 the environment of the last step, '' before the first
--
-- Return the environment whose turn it is: the next one in the order of ids, and after the last the first, of which
-- a replay is due. NULL: none is due. It reads one entry of the index for each environment that it looks at.
WITH RECURSIVE later (id, is_due) AS (
  SELECT $1::text, false
  UNION ALL
  SELECT n.environment_id, n.next_at <= now()
  FROM later l CROSS JOIN LATERAL (
    SELECT r.environment_id, r.next_at FROM dispatcher.replays r
    WHERE r.state = 'RUNNING' AND r.environment_id > l.id ORDER BY r.environment_id, r.next_at LIMIT 1
  ) n
  WHERE NOT l.is_due
), again (id, is_due) AS (
  SELECT '', false
  UNION ALL
  SELECT n.environment_id, n.next_at <= now()
  FROM again l CROSS JOIN LATERAL (
    SELECT r.environment_id, r.next_at FROM dispatcher.replays r
    WHERE r.state = 'RUNNING' AND r.environment_id > l.id AND r.environment_id <= $1 ORDER BY r.environment_id, r.next_at LIMIT 1
  ) n
  WHERE NOT l.is_due
)
SELECT coalesce((SELECT id FROM later WHERE is_due), (SELECT id FROM again WHERE is_due)) AS environment_id
