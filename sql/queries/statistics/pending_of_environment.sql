-- $1 environment  $2 most deliveries of each state to count
SELECT $1::text AS environment_id, state, deliveries, oldest, more FROM dispatcher.pending_of_environment($1, $2)
