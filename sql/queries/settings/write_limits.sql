-- $1 largest size of data in bytes  $2 whether producers notify
UPDATE dispatcher.settings SET max_data = $1, notify = $2 WHERE (max_data, notify) IS DISTINCT FROM ($1, $2)
