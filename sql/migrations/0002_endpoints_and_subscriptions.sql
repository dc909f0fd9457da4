-- Endpoints (the HTTP API says webhooks), their subscriptions, and the facts about their health.

CREATE TABLE dispatcher.endpoint_version (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  version bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);                  -- its updates stay on one page and need no vacuum
INSERT INTO dispatcher.endpoint_version DEFAULT VALUES;
COMMENT ON TABLE dispatcher.endpoint_version IS
  'One row: the number of the latest change to endpoints. Every such change locks it, and daemons poll it. So'
  ' versions become visible in their order. With a sequence, a daemon could see version 8 before version 7 is'
  ' committed, and miss version 7.';

CREATE TABLE dispatcher.endpoints (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  environment_id text NOT NULL REFERENCES dispatcher.environments,
  name text NOT NULL,
  description text NOT NULL DEFAULT '',
  url text NOT NULL CHECK (octet_length(url) <= 2048),
  active boolean NOT NULL DEFAULT true,
  disabled_reason text,                    -- why the dispatcher disabled it; NULL if a person did
  ordered boolean NOT NULL DEFAULT false,
  home_shard smallint NOT NULL DEFAULT floor(random() * 64)::smallint,  -- of parked deliveries, and of all if ordered
  secret bytea NOT NULL,                   -- encrypted, as are the previous secret and the headers
  previous_secret bytea,                   -- signs too until previous_until, after a rotation with an overlap
  previous_until timestamptz,
  headers bytea,
  signature_schemes text[],                -- NULL here and in the four columns below: as configured
  max_in_flight integer CHECK (max_in_flight BETWEEN 1 AND 10000),
  rate_limit integer CHECK (rate_limit > 0),  -- requests a second
  timeout_ms integer CHECK (timeout_ms BETWEEN 1 AND 30000),
  retry jsonb,
  metadata json NOT NULL DEFAULT '{}',     -- for its owner; the dispatcher does not read it
  version bigint NOT NULL,                 -- endpoint_version.version at its last change
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz                   -- deleted rows stay, because history names them
);
CREATE INDEX endpoints_version ON dispatcher.endpoints (version);
-- The order of lists. With the id, a page is read from its first row on: an index that lacks it has not the
-- whole order, and all endpoints would be read and sorted for each page. Not partial: otherwise the
-- planner, without statistics, would read the whole index for each id.
CREATE INDEX endpoints_environment_age ON dispatcher.endpoints (environment_id, created_at, id);
CREATE INDEX endpoints_age ON dispatcher.endpoints (created_at, id);
CREATE INDEX endpoints_ordered ON dispatcher.endpoints (environment_id) WHERE ordered AND deleted_at IS NULL;
CREATE INDEX endpoints_disabled ON dispatcher.endpoints (id) WHERE NOT active AND deleted_at IS NULL;
COMMENT ON TABLE dispatcher.endpoints IS
  'Where deliveries are sent, and how. The API writes it; the daemon disables endpoints that only fail. Daemons keep'
  ' a copy in memory and read the rows with a version above the one they know.';

CREATE TABLE dispatcher.subscriptions (
  environment_id text NOT NULL,
  pattern text NOT NULL,                   -- 'user.created', 'user.*' or '*'
  endpoint_id uuid NOT NULL REFERENCES dispatcher.endpoints ON DELETE CASCADE,
  position smallint NOT NULL DEFAULT 0,    -- in the list that was given, so that it is returned in that order
  PRIMARY KEY (environment_id, pattern, endpoint_id)
);
CREATE INDEX subscriptions_endpoint ON dispatcher.subscriptions (endpoint_id);
COMMENT ON TABLE dispatcher.subscriptions IS
  'Which event types an endpoint gets. The API writes it. The fan-out looks up the patterns of each type.';

CREATE TABLE dispatcher.endpoint_health (
  endpoint_id uuid PRIMARY KEY REFERENCES dispatcher.endpoints ON DELETE CASCADE,
  resting_until timestamptz,               -- the end of the rest that a receiver asked for with Retry-After
  failing_since timestamptz,               -- the first failure after the last success
  failed_at timestamptz,                   -- the latest failure
  failures integer NOT NULL DEFAULT 0,     -- since failing_since
  counted_since timestamptz                -- the latest resume: the time without success counts from the later of both
) WITH (fillfactor = 50);                  -- often updated; no indexed column changes
COMMENT ON TABLE dispatcher.endpoint_health IS
  'What sending shows about endpoints. The daemon writes it, and reads it after a restart. It is not part of'
  ' dispatcher.endpoints, so that a person who edits an endpoint and the daemon never wait for each other.';

-- A RETURN body: a CHECK of events calls it, and must not look up operators in the producer's search_path.
CREATE FUNCTION dispatcher.is_reserved(type text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN type = 'webhook.test' OR type LIKE 'endpoint.%' OR type LIKE 'delivery.%';
COMMENT ON FUNCTION dispatcher.is_reserved(text) IS 'Return true for event types that only the dispatcher may emit.';

-- PL/pgSQL takes a ninth of the time of one SQL expression. With many types, it is called for each.
-- STRICT: for NULL the loop would never see an empty prefix, and would fill the server's memory.
CREATE FUNCTION dispatcher.patterns_of(type text) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
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
COMMENT ON FUNCTION dispatcher.patterns_of(text) IS
  'Return every pattern that matches an event type: the type, each of its prefixes with .*, and *. A reserved type'
  ' matches only itself. Return NULL for NULL.';
