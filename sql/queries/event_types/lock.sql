-- $1 environment. No row: there is no such environment.
--
-- Serialize changes to a catalogue: each one reads the types, merges and checks its input, then
-- writes. FOR NO KEY UPDATE does not block statements that only refer to the environment.
SELECT id FROM dispatcher.environments WHERE id = $1 FOR NO KEY UPDATE
