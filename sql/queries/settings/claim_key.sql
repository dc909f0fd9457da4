-- $1 check value. The first key stays the database's key. The returned value shows which key that
-- is.
UPDATE dispatcher.settings SET key_check = coalesce(key_check, $1) RETURNING key_check
