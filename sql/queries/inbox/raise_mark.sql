-- $1 the inbox id up to which rows were fanned out  $2 an id up to which there are certainly none
--
-- The mark never passes a row of the inbox, nor the last minute. After the clock was set back, it goes
-- back too. It is written only if it changes.
WITH kept AS MATERIALIZED (
  SELECT last_value AS mark, dispatcher.id_floor(clock_timestamp() - interval '1 minute') AS latest FROM dispatcher.inbox_mark
), target AS MATERIALIZED (
  SELECT mark, greatest(0, least(latest, greatest(mark, least($1::bigint, (
    SELECT id - 1 FROM dispatcher.inbox WHERE id > greatest(kept.mark, $2) AND id <= least($1, kept.latest) ORDER BY id LIMIT 1))))) AS moved FROM kept
)
SELECT CASE WHEN moved = mark THEN mark ELSE setval('dispatcher.inbox_mark', moved) END AS mark FROM target
