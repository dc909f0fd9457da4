-- What is sent again of an event is found by the event. Otherwise its list would read the newest of these
-- rows, of all environments, and those of one environment could hide those of another.
CREATE INDEX inbox_directed_event ON dispatcher.inbox_directed (event_id) WHERE delivery_id IS NOT NULL;
