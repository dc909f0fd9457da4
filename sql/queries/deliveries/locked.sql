-- $1 delivery ids. Return those whose rows another transaction has locked, without waiting for it. The
-- locks that this takes itself end with the statement.
WITH free AS MATERIALIZED (
  SELECT id FROM dispatcher.deliveries WHERE id = ANY ($1::bigint[]) FOR UPDATE SKIP LOCKED
)
SELECT id FROM dispatcher.deliveries WHERE id = ANY ($1::bigint[])
EXCEPT
SELECT id FROM free
