-- $1 environment  $2 name
DELETE FROM dispatcher.event_types WHERE environment_id = $1 AND name = $2 RETURNING name
