-- $1 milliseconds
SELECT setval('dispatcher.listen_until', dispatcher.now_ms() + $1)
