-- After the database's clock was set back, let running replays take their next step now. Otherwise they
-- would stand still for as long. A step that comes too early does no harm. In the order of their times:
-- several daemons may do this at once.
WITH late AS MATERIALIZED (
  SELECT id FROM dispatcher.replays WHERE state = 'RUNNING' AND next_at > clock_timestamp() ORDER BY next_at FOR UPDATE
)
UPDATE dispatcher.replays SET next_at = clock_timestamp() WHERE id = ANY (ARRAY(SELECT id FROM late))
