-- $1 environment
SELECT count(*) AS count FROM dispatcher.event_types WHERE environment_id = $1
