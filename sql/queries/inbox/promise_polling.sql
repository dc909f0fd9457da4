-- $1 milliseconds
SELECT setval('dispatcher.poll_until', greatest(
  dispatcher.now_ms() + $1,
  (SELECT CASE WHEN last_value > dispatcher.now_ms() + 5000 THEN 0 ELSE last_value END FROM dispatcher.poll_until)))
