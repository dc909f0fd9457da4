SELECT dispatcher.emit(type => $1, data => $2::json, environment_id => $3, idempotency_key => $4)
