-- $1 milliseconds for which a daemon listens: producers notify until then. Before a daemon has joined, a
-- time more than 15 s ahead is left to daemons/take_clock_step.sql: it shows that the clock was set back.
-- A row whose last heartbeat is 5 s or more in the future was left by a daemon that was killed before.
SELECT setval('dispatcher.listen_until', dispatcher.now_ms() + $1)
WHERE pg_sequence_last_value('dispatcher.listen_until') < dispatcher.now_ms() + 15000 IS NOT FALSE
   OR EXISTS (SELECT 1 FROM dispatcher.daemons WHERE renewed_at < clock_timestamp() + interval '5 s')
