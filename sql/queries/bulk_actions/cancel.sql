-- $1 environment  $2 bulk action
--
-- A step in progress locks the row. So the returned count includes what it makes.
UPDATE dispatcher.bulk_actions SET state = 'CANCELLED', finished_at = clock_timestamp()
WHERE id = $2 AND environment_id = $1 AND state = 'RUNNING'
RETURNING *
