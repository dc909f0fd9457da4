-- $1 environment  $2 how many deliveries of each state are counted, at most
SELECT $1::text AS environment_id, state, deliveries, oldest, more FROM dispatcher.pending_of_environment($1, $2)
