-- $1 how many deliveries of each kind are looked at, at most
SELECT environment_id, state, deliveries, oldest, more FROM dispatcher.pending_by_state($1)
