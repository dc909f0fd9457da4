-- Day partitions of events and attempts: made ahead, dropped when their time is over.
--
-- A plain CREATE … PARTITION OF waits for every open transaction on the table, and makes every
-- producer wait behind it. So: a table of its own first, then ATTACH, which asks for a weaker
-- lock, given up after 200 ms; one subtransaction a day, so that one that fails costs one day.

CREATE FUNCTION dispatcher.partition_name(parent text, day date) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT parent || to_char(day, '_YYYYMMDD')
$$;

CREATE FUNCTION dispatcher.ensure_partitions(ahead integer) RETURNS text[]
LANGUAGE plpgsql SET lock_timeout = '200ms' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  made text[] := '{}';
  parent text;
  child text;
  day date;
  low bigint;
  high bigint;
BEGIN
  FOREACH parent IN ARRAY ARRAY['events', 'attempts'] LOOP
    FOR n IN 0..ahead LOOP
      day := (now() AT TIME ZONE 'UTC')::date + n;
      child := dispatcher.partition_name(parent, day);
      low := dispatcher.id_floor(day::timestamp AT TIME ZONE 'UTC');
      high := dispatcher.id_floor((day + 1)::timestamp AT TIME ZONE 'UTC');
      CONTINUE WHEN to_regclass(format('dispatcher.%I', child)) IS NOT NULL;
      BEGIN
        EXECUTE format('CREATE TABLE dispatcher.%I (LIKE dispatcher.%I INCLUDING ALL)', child, parent);
        -- Nothing may arrive in the default partition for this day between the move and ATTACH.
        EXECUTE format('LOCK TABLE dispatcher.%I IN ACCESS EXCLUSIVE MODE', parent || '_default');
        EXECUTE format('WITH moved AS (DELETE FROM dispatcher.%I WHERE id >= %s AND id < %s RETURNING *)
                        INSERT INTO dispatcher.%I SELECT * FROM moved', parent || '_default', low, high, child);
        EXECUTE format('ALTER TABLE dispatcher.%I ATTACH PARTITION dispatcher.%I FOR VALUES FROM (%s) TO (%s)', parent, child, low, high);
        made := made || child;
      EXCEPTION WHEN lock_not_available OR duplicate_table OR deadlock_detected OR unique_violation THEN
        RAISE NOTICE 'partition % not made this time: %', child, SQLERRM;
      END;
    END LOOP;
  END LOOP;
  RETURN made;
END $$;

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
    RETURN NULL;
  END IF;
  BEGIN
    EXECUTE format('LOCK TABLE dispatcher.%I IN ACCESS EXCLUSIVE MODE', parent);
    IF parent = 'events' THEN
      IF EXISTS (SELECT 1 FROM dispatcher.inbox WHERE event_id < high)
         OR EXISTS (SELECT 1 FROM dispatcher.deliveries WHERE event_id < high)
         OR EXISTS (SELECT 1 FROM dispatcher.quarantine WHERE event_id < high) THEN
        RETURN NULL;
      END IF;
    END IF;
    EXECUTE format('ALTER TABLE dispatcher.%I DETACH PARTITION dispatcher.%I', parent, child);
    EXECUTE format('DROP TABLE dispatcher.%I', child);
  EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
    RAISE NOTICE 'partition % not dropped this time: %', child, SQLERRM;
    RETURN NULL;
  END;
  RETURN child;
END $$;

SELECT dispatcher.ensure_partitions(7);
