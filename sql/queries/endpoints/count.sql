-- $1 environment  $2 up to how many are counted. Asked after `bump`, whose lock keeps others from
-- making one at the same time.
SELECT count(*) AS count FROM (
  SELECT FROM dispatcher.endpoints WHERE environment_id = $1 AND deleted_at IS NULL LIMIT $2
) AS counted
