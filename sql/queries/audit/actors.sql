-- $1 environment  $2 most rows
--
-- Return the actors of an environment in the order of their names. Each is one look-up in the index of
-- actors, the one after the last, however many entries each has.
WITH RECURSIVE actors AS (
  (SELECT actor, 1 AS number FROM dispatcher.audit WHERE environment_id = $1 ORDER BY actor LIMIT 1)
  UNION ALL
  SELECT (SELECT a.actor FROM dispatcher.audit a WHERE a.environment_id = $1 AND a.actor > actors.actor ORDER BY a.actor LIMIT 1),
         actors.number + 1
  FROM actors WHERE actors.actor IS NOT NULL AND actors.number < $2
)
SELECT actor FROM actors WHERE actor IS NOT NULL
