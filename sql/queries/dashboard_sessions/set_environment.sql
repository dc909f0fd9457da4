-- $1 id  $2 environment
UPDATE dispatcher.dashboard_sessions SET environment_id = $2 WHERE id = $1
