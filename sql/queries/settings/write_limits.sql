-- $1 largest size of data in bytes  $2 whether producers notify
--
-- Return what both were before. No row: they were so already.
WITH former AS (
  SELECT max_data, notify FROM dispatcher.settings WHERE (max_data, notify) IS DISTINCT FROM ($1, $2) FOR NO KEY UPDATE
)
UPDATE dispatcher.settings s SET max_data = $1, notify = $2 FROM former RETURNING former.max_data, former.notify
