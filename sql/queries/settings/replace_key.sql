-- $1 check value of the new key  $2 check value of the key until now. No row: the database has another
-- key by now.
UPDATE dispatcher.settings SET key_check = $1 WHERE key_check IN ($1, $2) RETURNING key_check
