-- $1 milliseconds for which a daemon listens: emitters notify until then.
SELECT setval('dispatcher.listen_until', dispatcher.now_ms() + $1)
