-- $1 environment  $2 bulk action
SELECT * FROM dispatcher.bulk_actions WHERE id = $2 AND environment_id = $1
