-- Test whether attempts can be written at all: insert one without a delivery. The caller rolls it
-- back.
INSERT INTO dispatcher.attempts (delivery_id, event_id, endpoint_id, environment_id, type, attempt, started_at, outcome, duration_ms)
VALUES (0, 0, '00000000-0000-0000-0000-000000000000', '', '', 1, now(), 'ok', 0)
RETURNING id
