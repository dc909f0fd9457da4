-- $1 type  $2 data, JSON text  $3 environment  $4 idempotency key, or NULL  $5 reference, or
-- NULL. Return the event's id.
SELECT dispatcher.emit(type => $1, data => $2::json, environment_id => $3, idempotency_key => $4, reference => $5)
