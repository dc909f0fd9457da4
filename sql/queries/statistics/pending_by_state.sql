-- $1 most deliveries of each kind to read
SELECT environment_id, state, deliveries, oldest, more FROM dispatcher.pending_by_state($1)
