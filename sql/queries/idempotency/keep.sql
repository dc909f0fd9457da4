-- $1 environment  $2 key  $3 status  $4 body
UPDATE dispatcher.idempotent_responses SET status = $3, body = $4 WHERE environment_id = $1 AND key = $2
