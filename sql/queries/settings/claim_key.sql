-- $1 check value. The first key is the database's for good; the answer says whose it is.
UPDATE dispatcher.settings SET key_check = coalesce(key_check, $1) RETURNING key_check
