-- $1 daemon id  $2 its status as JSON. Store the status.
INSERT INTO dispatcher.daemon_facts (daemon_id, facts, facts_at) VALUES ($1, $2, clock_timestamp())
ON CONFLICT (daemon_id) DO UPDATE SET facts = excluded.facts, facts_at = excluded.facts_at
