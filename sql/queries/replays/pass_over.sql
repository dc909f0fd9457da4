-- $1 ids below are about to be dropped
--
-- A recovery that waits, as its endpoint is disabled, must not keep events from being dropped for ever.
UPDATE dispatcher.recoveries SET position = $1::bigint - 1
WHERE state = 'RUNNING' AND position < $1::bigint - 1
RETURNING id
