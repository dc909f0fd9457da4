-- A pause must not count toward disabling an endpoint, and `failing_since` stays what it says: the first
-- failure after the last success.
ALTER TABLE dispatcher.endpoint_health
  ADD COLUMN counted_since timestamptz;  -- the latest resume; the time without success counts from then, or from failing_since if that is later
