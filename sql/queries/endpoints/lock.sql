-- $1 id
--
-- Lock an endpoint that is about to be deleted, in a statement before delete.sql. Statements that put a
-- delivery to it into the inbox hold FOR SHARE until their transactions end. Otherwise delete.sql, which
-- sees only what is committed when it begins, could leave such a row to a fan-out that drops it.
SELECT id FROM dispatcher.endpoints WHERE id = $1 FOR UPDATE
