-- $1 environment  $2 key  $3 status  $4 body
UPDATE dispatcher.answered SET status = $3, body = $4 WHERE environment_id = $1 AND key = $2
