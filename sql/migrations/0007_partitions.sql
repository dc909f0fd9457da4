-- Day partitions of events and attempts: made some days ahead, dropped when they are too old.
--
-- CREATE TABLE … PARTITION OF waits for each open transaction on the table, and every producer would
-- wait behind it. So a partition is made as a table of its own and then attached. ATTACH needs a weaker
-- lock and gives up after 200 ms. Each day is its own subtransaction, so that a failure costs one day only.
--
-- After a week without a daemon, today's rows are in the default partition. If they are at most 10,000,
-- they move into a partition of their own. Otherwise they stay, and are deleted when they are too old.

CREATE FUNCTION dispatcher.partition_name(parent text, day date) RETURNS text LANGUAGE sql IMMUTABLE
RETURN parent || to_char(day, '_YYYYMMDD');
COMMENT ON FUNCTION dispatcher.partition_name(text, date) IS 'Return the name of the partition of a day.';

CREATE FUNCTION dispatcher.count_in_default(parent text, low bigint, high bigint) RETURNS integer
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  counted integer;
BEGIN
  EXECUTE format('SELECT count(*) FROM (SELECT 1 FROM dispatcher.%I WHERE id >= $1 AND id < $2 LIMIT 10001) AS few', parent || '_default')
  INTO counted USING low, high;
  RETURN counted;
END $$;
COMMENT ON FUNCTION dispatcher.count_in_default(text, bigint, bigint) IS
  'Count the rows of a range of ids in the default partition, up to 10,001.';

CREATE FUNCTION dispatcher.make_partition(parent text, day date) RETURNS boolean
LANGUAGE plpgsql SET lock_timeout = '200ms' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  child text := dispatcher.partition_name(parent, day);
  low bigint := dispatcher.id_floor(day::timestamp AT TIME ZONE 'UTC');
  high bigint := dispatcher.id_floor((day + 1)::timestamp AT TIME ZONE 'UTC');
BEGIN
  IF to_regclass(format('dispatcher.%I', child)) IS NOT NULL OR dispatcher.count_in_default(parent, low, high) > 10000 THEN
    RETURN false;
  END IF;
  EXECUTE format('CREATE TABLE dispatcher.%I (LIKE dispatcher.%I INCLUDING ALL)', child, parent);
  -- Lock the parent too. Otherwise an INSERT of today that has chosen the default partition and waits for
  -- it would be refused there after ATTACH. Behind the parent's lock it has not chosen a partition yet.
  IF day <= (now() AT TIME ZONE 'UTC')::date THEN
    EXECUTE format('LOCK TABLE dispatcher.%I IN ACCESS EXCLUSIVE MODE', parent);
  END IF;
  -- Otherwise a row of this day could be inserted into the default partition between the move and ATTACH.
  EXECUTE format('LOCK TABLE dispatcher.%I IN ACCESS EXCLUSIVE MODE', parent || '_default');
  EXECUTE format('WITH moved AS (DELETE FROM dispatcher.%I WHERE id >= %s AND id < %s RETURNING *)
                  INSERT INTO dispatcher.%I SELECT * FROM moved', parent || '_default', low, high, child);
  EXECUTE format('ALTER TABLE dispatcher.%I ATTACH PARTITION dispatcher.%I FOR VALUES FROM (%s) TO (%s)', parent, child, low, high);
  RETURN true;
EXCEPTION WHEN lock_not_available OR duplicate_table OR deadlock_detected OR unique_violation THEN
  RAISE NOTICE 'partition % was not made: %. The next run tries again', child, SQLERRM;
  RETURN false;
END $$;
COMMENT ON FUNCTION dispatcher.make_partition(text, date) IS
  'Make the partition of one day. Return false if it exists, if too many rows would move, or if a lock was not free.';

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
        -- ATTACH reads the whole default partition and keeps it locked: if it is large, make one a call.
        EXIT WHEN dispatcher.count_in_default(parent, 0, 9223372036854775807) > 10000;
      END IF;
    END LOOP;
  END LOOP;
  FOREACH parent IN ARRAY parents LOOP       -- last: its lock makes producers wait until the end
    IF dispatcher.make_partition(parent, today) THEN
      made := made || dispatcher.partition_name(parent, today);
    END IF;
  END LOOP;
  RETURN made;
END $$;
COMMENT ON FUNCTION dispatcher.ensure_partitions(integer) IS
  'Make the missing partitions of today and of so many days ahead. Return their names. Maintenance calls it.';

CREATE FUNCTION dispatcher.events_are_referenced(bound bigint) RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (SELECT 1 FROM dispatcher.inbox WHERE event_id < bound)
      OR EXISTS (SELECT 1 FROM dispatcher.deliveries WHERE event_id < bound)
      OR EXISTS (SELECT 1 FROM dispatcher.quarantine WHERE event_id < bound)
      OR EXISTS (SELECT 1 FROM dispatcher.unvalidated_events WHERE id < bound)
      OR EXISTS (SELECT 1 FROM dispatcher.replays WHERE state = 'RUNNING' AND position < bound - 1)
$$;
COMMENT ON FUNCTION dispatcher.events_are_referenced(bigint) IS
  'Return true if a pending row refers to an event with an id below the bound.';

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
  -- A statement that makes a new reference to an event reads the event first, in the child. So the lock of
  -- the child is enough while references are searched, however long that takes. No producer needs it.
  EXECUTE format('LOCK TABLE dispatcher.%I IN ACCESS EXCLUSIVE MODE', child);
  IF parent = 'events' AND dispatcher.events_are_referenced(high) THEN
    RETURN NULL;
  END IF;
  EXECUTE format('ALTER TABLE dispatcher.%I DETACH PARTITION dispatcher.%I', parent, child);
  EXECUTE format('DROP TABLE dispatcher.%I', child);
  RETURN child;
EXCEPTION WHEN lock_not_available OR deadlock_detected OR undefined_table THEN   -- undefined: another daemon has dropped it
  RAISE NOTICE 'partition % was not dropped: %. The next run tries again', child, SQLERRM;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION dispatcher.drop_partition(text, interval) IS
  'Drop the oldest partition if it is older than this, and return its name; NULL if there is none to drop. A partition of'
  ' events that pending rows refer to stays. Maintenance calls it again and again.';

CREATE FUNCTION dispatcher.clear_default(parent text, bound bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF dispatcher.count_in_default(parent, 0, bound) > 0 AND (parent <> 'events' OR NOT dispatcher.events_are_referenced(bound)) THEN
    EXECUTE format('DELETE FROM dispatcher.%1$I WHERE id = ANY (ARRAY(
                      SELECT id FROM dispatcher.%1$I WHERE id < $1 ORDER BY id LIMIT 50000))', parent || '_default') USING bound;
  END IF;
END $$;
COMMENT ON FUNCTION dispatcher.clear_default(text, bigint) IS
  'Delete rows that are too old from the default partition, at most 50,000 a call.';

SELECT dispatcher.ensure_partitions(7);
