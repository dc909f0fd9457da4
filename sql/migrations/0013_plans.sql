-- One plan a statement, whatever the statistics say, and locks that no other role can hold.

-- Whose turn it is to fan out events of environments with ordered endpoints. A row, and not an advisory
-- lock: those can be held by everybody who may connect.
CREATE TABLE dispatcher.fan_out_turn (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row)
);
INSERT INTO dispatcher.fan_out_turn DEFAULT VALUES;

-- People's changes to one delivery happen one after another. The delivery may be in any of three tables,
-- so that it has no row of its own to lock: it shares one of these.
CREATE TABLE dispatcher.delivery_turns (
  turn smallint PRIMARY KEY
);
INSERT INTO dispatcher.delivery_turns SELECT generate_series(0, 255);

-- Statistics taken while the table was empty make a walk through any index look as cheap as a look-up: a
-- delivery was looked for by its id through all of this index, whose second column it was, and the first
-- deliveries of an endpoint through all of the primary key. Of the sum, neither is possible.
DROP INDEX dispatcher.deliveries_endpoint;
CREATE INDEX deliveries_endpoint ON dispatcher.deliveries (endpoint_id, (id + 0));
DROP INDEX dispatcher.nudges_shard;
CREATE INDEX nudges_shard ON dispatcher.nudges (shard);

-- The pending deliveries of some endpoints, the oldest first: `each` of one endpoint, `most` in all.
CREATE FUNCTION dispatcher.pending_ids(endpoints uuid[], each integer, most integer) RETURNS SETOF bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_incremental_sort = off AS $$
  SELECT d.id FROM unnest(endpoints) AS e(id)
  CROSS JOIN LATERAL (SELECT d.id FROM dispatcher.deliveries d WHERE d.endpoint_id = e.id ORDER BY d.id + 0 LIMIT each) AS d
  LIMIT most
$$;

CREATE OR REPLACE FUNCTION dispatcher.pending_of(endpoints uuid[], most integer) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT count(*) FROM dispatcher.pending_ids(endpoints, most, most)
$$;

CREATE OR REPLACE FUNCTION dispatcher.quarantined_in(environment text, most integer) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_incremental_sort = off AS $$
  -- A range of one: so that the order is that of one index, and not also of the primary key.
  SELECT count(*) FROM (SELECT 1 FROM dispatcher.quarantine q WHERE q.environment_id >= environment AND q.environment_id <= environment
                        ORDER BY q.environment_id, q.id LIMIT most) AS few
$$;

-- The first events on their way to be fanned out, `most` of either kind.
CREATE FUNCTION dispatcher.coming(most integer) RETURNS TABLE (id bigint, environment_id text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
  (SELECT i.id, i.environment_id FROM dispatcher.inbox i ORDER BY i.id LIMIT most)
  UNION ALL
  (SELECT u.id, u.environment_id FROM dispatcher.unexamined u ORDER BY u.id LIMIT most)
$$;

-- As before, in a ninth of the time: with many event types, each is asked for its patterns.
CREATE OR REPLACE FUNCTION dispatcher.patterns_of(type text) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  patterns text[] := ARRAY[type, '*'];
  prefix text := type;
BEGIN
  IF dispatcher.is_reserved(type) THEN
    RETURN ARRAY[type];
  END IF;
  LOOP
    prefix := rtrim(regexp_replace(prefix, '[^.]*$', ''), '.');
    EXIT WHEN prefix = '';
    patterns := patterns || (prefix || '.*');
  END LOOP;
  RETURN patterns;
END $$;

REVOKE ALL ON dispatcher.fan_out_turn, dispatcher.delivery_turns FROM PUBLIC;
REVOKE ALL ON FUNCTION dispatcher.pending_ids(uuid[], integer, integer), dispatcher.pending_of(uuid[], integer),
  dispatcher.quarantined_in(text, integer), dispatcher.coming(integer), dispatcher.patterns_of(text) FROM PUBLIC;
