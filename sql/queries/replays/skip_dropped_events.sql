-- $1 rows with ids below this one are about to be dropped
--
-- Move waiting replays forward. Otherwise a replay of a disabled endpoint would keep events from
-- ever being dropped.
UPDATE dispatcher.replays SET position = $1::bigint - 1
WHERE state = 'RUNNING' AND position < $1::bigint - 1
RETURNING id
