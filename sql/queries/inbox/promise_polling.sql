-- $1 length of the polling window in ms: producers do not notify until it ends. It is never
-- shortened, unless it ends more than 5 s in the future: then the clock was set back.
SELECT setval('dispatcher.poll_until', greatest(
  dispatcher.now_ms() + $1,
  (SELECT CASE WHEN last_value > dispatcher.now_ms() + 5000 THEN 0 ELSE last_value END FROM dispatcher.poll_until)))
