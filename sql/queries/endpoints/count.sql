-- $1 environment  $2 largest count
--
-- Run this after `next_version`. Its lock prevents another transaction from creating an endpoint at the same time.
SELECT count(*) AS count FROM (
  SELECT FROM dispatcher.endpoints WHERE environment_id = $1 AND deleted_at IS NULL LIMIT $2
) AS counted
