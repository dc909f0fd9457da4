-- $1 environment
--
-- Lock the environment until the transaction ends. Otherwise bulk actions that start at the same time do
-- not count one another. Emitting goes on beside this lock.
SELECT id FROM dispatcher.environments WHERE id = $1 FOR NO KEY UPDATE
