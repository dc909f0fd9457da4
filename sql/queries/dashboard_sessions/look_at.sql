-- $1 id  $2 environment
UPDATE dispatcher.sign_ins SET environment_id = $2 WHERE id = $1
