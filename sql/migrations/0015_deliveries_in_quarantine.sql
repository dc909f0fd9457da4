-- Lists of deliveries show those in quarantine: their entries have their ids. Entries of events, of which
-- there may be many, are not in these indexes.
CREATE INDEX quarantine_delivery_endpoint ON dispatcher.quarantine (endpoint_id, id) WHERE delivery_id = id;
CREATE INDEX quarantine_delivery_environment ON dispatcher.quarantine (environment_id, id) WHERE delivery_id = id;

CREATE OR REPLACE VIEW dispatcher.delivery_status AS
SELECT 'dlv_' || d.id AS delivery, 'evt_' || d.event_id AS event, d.type, d.environment_id, d.endpoint_id,
       'PENDING' AS state, d.attempt AS attempts, d.next_at AS next_attempt_at,
       last.status AS last_status, last.error AS last_error, dispatcher.id_time(d.id) AS created_at, NULL::timestamptz AS ended_at
FROM dispatcher.deliveries d
LEFT JOIN LATERAL (SELECT a.status, a.error FROM dispatcher.attempts a
                   WHERE a.delivery_id = d.id ORDER BY a.id DESC LIMIT 1) last ON true
UNION ALL
SELECT 'dlv_' || q.id, 'evt_' || q.event_id, q.type, q.environment_id, q.endpoint_id,
       'PENDING', q.attempt, NULL, last.status, 'in quarantine: ' || q.detail, dispatcher.id_time(q.id), NULL
FROM dispatcher.quarantine q
LEFT JOIN LATERAL (SELECT a.status FROM dispatcher.attempts a
                   WHERE a.delivery_id = q.id ORDER BY a.id DESC LIMIT 1) last ON true
WHERE q.delivery_id = q.id
UNION ALL
SELECT 'dlv_' || a.delivery_id, 'evt_' || a.event_id, a.type, a.environment_id, a.endpoint_id,
       a.state, a.attempt, NULL, a.status, a.error, dispatcher.id_time(a.delivery_id), dispatcher.id_time(a.id)
FROM dispatcher.attempts a
WHERE a.state IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM dispatcher.deliveries d WHERE d.id = a.delivery_id)
  AND NOT EXISTS (SELECT 1 FROM dispatcher.quarantine q WHERE q.id = a.delivery_id AND q.delivery_id = q.id)
  AND NOT EXISTS (SELECT 1 FROM dispatcher.attempts b
                  WHERE b.delivery_id = a.delivery_id AND b.state IS NOT NULL AND b.id > a.id);
