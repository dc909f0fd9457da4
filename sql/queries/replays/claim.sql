-- Lock the replay that has been due longest. No row: none is due, or another daemon holds it.
SELECT id FROM dispatcher.replays WHERE state = 'RUNNING' AND next_at <= now()
ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED
