-- How long each phase of an attempt took. NULL: the phase did not happen, as on a kept connection, where
-- only the first byte is waited for. Such a row has 4 bytes more, that of a new connection up to 16.

ALTER TABLE dispatcher.attempts
  ADD COLUMN lookup_ms integer,
  ADD COLUMN connect_ms integer,
  ADD COLUMN tls_ms integer,
  ADD COLUMN first_byte_ms integer;

CREATE OR REPLACE VIEW dispatcher.delivery_attempts AS
SELECT 'dlv_' || delivery_id AS delivery, 'evt_' || event_id AS event, type, environment_id, endpoint_id, attempt,
       started_at, outcome, status, duration_ms, error, next_at AS next_attempt_at, state,
       lookup_ms, connect_ms, tls_ms, first_byte_ms
FROM dispatcher.attempts;
