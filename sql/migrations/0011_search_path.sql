-- No function of this schema looks up operators, functions or types in the search_path of a caller.
--
-- A function whose body is a text is parsed when it is called, with the caller's search_path: an
-- operator in public that fits better than PostgreSQL's own would be called, with the rights of the
-- daemon or of an administrator who reads a view. RETURN is parsed once, here, and can still become
-- part of the statement that calls it; SET search_path takes time at each call, so it is for functions
-- that are not called for every row. They name tables: RETURN would bind them to the tables' columns,
-- and no later migration could change a column's type.

CREATE OR REPLACE FUNCTION dispatcher.id_floor(moment timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ((extract(epoch FROM moment) * 1000)::bigint - 1704067200000) << 22;

CREATE OR REPLACE FUNCTION dispatcher.id_time(id bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN to_timestamp(((id >> 22) + 1704067200000) / 1000.0);

CREATE OR REPLACE FUNCTION dispatcher.now_ms() RETURNS bigint LANGUAGE sql VOLATILE
RETURN (extract(epoch FROM clock_timestamp()) * 1000)::bigint;

CREATE OR REPLACE FUNCTION dispatcher.partition_name(parent text, day date) RETURNS text LANGUAGE sql IMMUTABLE
RETURN parent || to_char(day, '_YYYYMMDD');

CREATE OR REPLACE FUNCTION dispatcher.patterns_of(type text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN dispatcher.is_reserved(type) THEN ARRAY[type] ELSE
  ARRAY[type, '*'] || ARRAY(
    SELECT array_to_string(parts[1:n], '.') || '.*'
    FROM (SELECT string_to_array(type, '.') AS parts) AS split,
         generate_series(1, cardinality(parts) - 1) AS n)
END;

ALTER FUNCTION dispatcher.attempts_since() SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION dispatcher.events_needed(bigint) SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION dispatcher.pending_of(uuid[], integer) SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION dispatcher.quarantined_in(text, integer) SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION dispatcher.recoverable(text, uuid, bigint, bigint, boolean, integer) SET search_path = pg_catalog, pg_temp;

-- A variable named as one that PL/pgSQL has already: an error where plpgsql.extra_errors asks for it.
CREATE OR REPLACE FUNCTION dispatcher.in_default(parent text, low bigint, high bigint) RETURNS integer
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  counted integer;
BEGIN
  EXECUTE format('SELECT count(*) FROM (SELECT 1 FROM dispatcher.%I WHERE id >= $1 AND id < $2 LIMIT 10001) AS few', parent || '_default')
  INTO counted USING low, high;
  RETURN counted;
END $$;
