-- Endpoints, what they subscribe to, and the counter that tells daemons something changed.

-- Locked by every change to an endpoint, so that versions become visible in their own order; a
-- sequence would let version 8 be read before version 7 is committed, and 7 be missed.
CREATE TABLE dispatcher.endpoint_version (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  version bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
INSERT INTO dispatcher.endpoint_version DEFAULT VALUES;

CREATE TABLE dispatcher.endpoints (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  environment_id text NOT NULL REFERENCES dispatcher.environments,
  name text NOT NULL,
  description text NOT NULL DEFAULT '',
  url text NOT NULL CHECK (octet_length(url) <= 2048),
  active boolean NOT NULL DEFAULT true,
  disabled_reason text,                    -- why it is not active, when that was not a person's wish
  ordered boolean NOT NULL DEFAULT false,
  home_shard smallint NOT NULL DEFAULT floor(random() * 64)::smallint,  -- of an ordered endpoint's deliveries
  secret bytea NOT NULL,                   -- encrypted, as are the next one and the headers
  previous_secret bytea,
  previous_until timestamptz,
  headers bytea,
  signature_schemes text[],                -- NULL here and below: as configured
  max_in_flight integer CHECK (max_in_flight BETWEEN 1 AND 10000),
  rate_limit integer CHECK (rate_limit > 0),
  timeout_ms integer CHECK (timeout_ms BETWEEN 1 AND 30000),
  retry jsonb,
  metadata json NOT NULL DEFAULT '{}',
  version bigint NOT NULL,                 -- endpoint_version.version at its last change
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz                   -- deleted ones stay while history names them
);
CREATE INDEX endpoints_version ON dispatcher.endpoints (version);
-- Of all, also the deleted ones: without statistics the planner would read a partial index whole for every id.
CREATE INDEX endpoints_environment ON dispatcher.endpoints (environment_id, created_at);

CREATE INDEX endpoints_ordered ON dispatcher.endpoints (environment_id) WHERE ordered AND deleted_at IS NULL;

CREATE TABLE dispatcher.subscriptions (
  environment_id text NOT NULL,
  pattern text NOT NULL,                   -- 'user.created', 'user.*' or '*'
  endpoint_id uuid NOT NULL REFERENCES dispatcher.endpoints ON DELETE CASCADE,
  PRIMARY KEY (environment_id, pattern, endpoint_id)
);
CREATE INDEX subscriptions_endpoint ON dispatcher.subscriptions (endpoint_id);

-- Facts the daemon learns by sending; beside the endpoint, so that people's edits and the
-- daemon's notes never wait for each other. A restart must not forget them.
CREATE TABLE dispatcher.endpoint_health (
  endpoint_id uuid PRIMARY KEY REFERENCES dispatcher.endpoints ON DELETE CASCADE,
  paused_until timestamptz,                -- a Retry-After in force
  failing_since timestamptz,               -- the first failure after the last success
  failed_at timestamptz,                   -- the latest failure
  failures integer NOT NULL DEFAULT 0      -- since failing_since
) WITH (fillfactor = 50);

-- RETURN, not a text: its operators are looked up now, not in the search_path of a producer whose
-- INSERT is checked with it.
CREATE FUNCTION dispatcher.is_reserved(type text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN type = 'webhook.test' OR type LIKE 'endpoint.%' OR type LIKE 'delivery.%';

-- Every pattern that matches an event type: itself, each prefix with '.*', and '*'. The types
-- reserved to the dispatcher are matched by their own name only.
CREATE FUNCTION dispatcher.patterns_of(type text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN dispatcher.is_reserved(type) THEN ARRAY[type] ELSE
    ARRAY[type, '*'] || ARRAY(
      SELECT array_to_string(parts[1:n], '.') || '.*'
      FROM (SELECT string_to_array(type, '.') AS parts) AS split,
           generate_series(1, cardinality(parts) - 1) AS n)
  END
$$;
