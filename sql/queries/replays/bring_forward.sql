-- After the database's clock was set back, let running replays take their next step now. Otherwise they
-- would stand still for as long. A step that comes too early does no harm. Rows are locked in the order
-- of the index by times, as several daemons may do this at once.
UPDATE dispatcher.replays SET next_at = now() WHERE state = 'RUNNING' AND next_at > now()
