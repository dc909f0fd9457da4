-- $1 event. No row: there is no such event, or it is no longer kept.
SELECT environment_id FROM dispatcher.events WHERE id = $1
