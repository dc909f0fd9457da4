-- Day partitions of events and attempts: made ahead, dropped when their time is over.
--
-- A plain CREATE … PARTITION OF waits for every open transaction on the table, and makes every
-- producer wait behind it. So: a table of its own first, then ATTACH, which asks for a weaker
-- lock, given up after 200 ms; one subtransaction a day, so that one that fails costs one day.
--
-- After a week without a daemon today's rows are in the default partition. If they are few they
-- move into a partition of their own; if many, they stay, and are deleted when their time is over.

CREATE FUNCTION dispatcher.partition_name(parent text, day date) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT parent || to_char(day, '_YYYYMMDD')
$$;

-- How many rows of a range of ids the default partition holds; no more than 10,001 are counted.
CREATE FUNCTION dispatcher.in_default(parent text, low bigint, high bigint) RETURNS integer
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found integer;
BEGIN
  EXECUTE format('SELECT count(*) FROM (SELECT 1 FROM dispatcher.%I WHERE id >= $1 AND id < $2 LIMIT 10001) AS few', parent || '_default')
  INTO found USING low, high;
  RETURN found;
END $$;

CREATE FUNCTION dispatcher.make_partition(parent text, day date) RETURNS boolean
LANGUAGE plpgsql SET lock_timeout = '200ms' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  child text := dispatcher.partition_name(parent, day);
  low bigint := dispatcher.id_floor(day::timestamp AT TIME ZONE 'UTC');
  high bigint := dispatcher.id_floor((day + 1)::timestamp AT TIME ZONE 'UTC');
BEGIN
  IF to_regclass(format('dispatcher.%I', child)) IS NOT NULL OR dispatcher.in_default(parent, low, high) > 10000 THEN
    RETURN false;
  END IF;
  EXECUTE format('CREATE TABLE dispatcher.%I (LIKE dispatcher.%I INCLUDING ALL)', child, parent);
  -- An INSERT of today that waits for the default partition would be refused there after ATTACH:
  -- it must wait where it has not chosen a partition yet.
  IF day <= (now() AT TIME ZONE 'UTC')::date THEN
    EXECUTE format('LOCK TABLE dispatcher.%I IN ACCESS EXCLUSIVE MODE', parent);
  END IF;
  -- Nothing may arrive in the default partition for this day between the move and ATTACH.
  EXECUTE format('LOCK TABLE dispatcher.%I IN ACCESS EXCLUSIVE MODE', parent || '_default');
  EXECUTE format('WITH moved AS (DELETE FROM dispatcher.%I WHERE id >= %s AND id < %s RETURNING *)
                  INSERT INTO dispatcher.%I SELECT * FROM moved', parent || '_default', low, high, child);
  EXECUTE format('ALTER TABLE dispatcher.%I ATTACH PARTITION dispatcher.%I FOR VALUES FROM (%s) TO (%s)', parent, child, low, high);
  RETURN true;
EXCEPTION WHEN lock_not_available OR duplicate_table OR deadlock_detected OR unique_violation THEN
  RAISE NOTICE 'partition % not made this time: %', child, SQLERRM;
  RETURN false;
END $$;

-- Makes what is missing from today on; returns what was made.
CREATE FUNCTION dispatcher.ensure_partitions(ahead integer) RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  parents CONSTANT text[] := '{events,attempts}';
  made text[] := '{}';
  parent text;
  today date := (now() AT TIME ZONE 'UTC')::date;
BEGIN
  FOREACH parent IN ARRAY parents LOOP
    FOR n IN 1..ahead LOOP
      IF dispatcher.make_partition(parent, today + n) THEN
        made := made || dispatcher.partition_name(parent, today + n);
        -- ATTACH reads the whole default partition, and keeps it locked: with much in it, one a call.
        EXIT WHEN dispatcher.in_default(parent, 0, 9223372036854775807) > 10000;
      END IF;
    END LOOP;
  END LOOP;
  FOREACH parent IN ARRAY parents LOOP       -- last, for its lock keeps producers waiting until the end
    IF dispatcher.make_partition(parent, today) THEN
      made := made || dispatcher.partition_name(parent, today);
    END IF;
  END LOOP;
  RETURN made;
END $$;

-- Whether anything pending refers to an event with an id below the bound.
CREATE FUNCTION dispatcher.events_needed(bound bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (SELECT 1 FROM dispatcher.inbox WHERE event_id < bound)
      OR EXISTS (SELECT 1 FROM dispatcher.deliveries WHERE event_id < bound)
      OR EXISTS (SELECT 1 FROM dispatcher.quarantine WHERE event_id < bound)
$$;

-- Drops at most one partition a call: the caller comes again. NULL when there is none to drop.
-- An events partition goes only when nothing refers to an event in it any more.
CREATE FUNCTION dispatcher.drop_partition(parent text, keep interval) RETURNS text
LANGUAGE plpgsql SET lock_timeout = '200ms' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  child text;
  bound bigint := dispatcher.id_floor(date_trunc('day', now() - keep, 'UTC'));
  high bigint;
BEGIN
  SELECT c.relname, dispatcher.id_floor((to_date(right(c.relname, 8), 'YYYYMMDD') + 1)::timestamp AT TIME ZONE 'UTC')
  INTO child, high
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
  WHERE i.inhparent = to_regclass(format('dispatcher.%I', parent)) AND c.relname ~ ('^' || parent || '_\d{8}$')
  ORDER BY c.relname LIMIT 1;
  IF child IS NULL OR high > bound THEN
    PERFORM dispatcher.clear_default(parent, bound);
    RETURN NULL;
  END IF;
  -- Whoever refers to an event anew reads it first, in the child. So its lock is enough to ask
  -- under, however long the answer takes: no producer needs it.
  EXECUTE format('LOCK TABLE dispatcher.%I IN ACCESS EXCLUSIVE MODE', child);
  IF parent = 'events' AND dispatcher.events_needed(high) THEN
    RETURN NULL;
  END IF;
  EXECUTE format('ALTER TABLE dispatcher.%I DETACH PARTITION dispatcher.%I', parent, child);
  EXECUTE format('DROP TABLE dispatcher.%I', child);
  RETURN child;
EXCEPTION WHEN lock_not_available OR deadlock_detected OR undefined_table THEN   -- undefined: another daemon was quicker
  RAISE NOTICE 'partition % not dropped this time: %', child, SQLERRM;
  RETURN NULL;
END $$;

-- What stayed in the default partition goes row by row, some at a time.
CREATE FUNCTION dispatcher.clear_default(parent text, bound bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF dispatcher.in_default(parent, 0, bound) > 0 AND (parent <> 'events' OR NOT dispatcher.events_needed(bound)) THEN
    EXECUTE format('DELETE FROM dispatcher.%1$I WHERE id = ANY (ARRAY(
                      SELECT id FROM dispatcher.%1$I WHERE id < $1 ORDER BY id LIMIT 50000))', parent || '_default') USING bound;
  END IF;
END $$;

SELECT dispatcher.ensure_partitions(7);
