-- $1 environment. No row: no such environment.
--
-- One change of a catalogue at a time: what is there is read, merged with what is asked for and judged
-- before it is written. Nothing that refers to the environment waits for this lock.
SELECT id FROM dispatcher.environments WHERE id = $1 FOR NO KEY UPDATE
