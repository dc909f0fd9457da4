-- Rights: none for PUBLIC, and for producers only what emitting needs.

DO $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'dispatcher_producer') THEN
    CREATE ROLE dispatcher_producer NOLOGIN;
  END IF;
EXCEPTION
  WHEN duplicate_object OR unique_violation THEN NULL;   -- a migration of another database of the server created it
  WHEN insufficient_privilege THEN
    RAISE EXCEPTION 'the role dispatcher_producer does not exist, and % may not create it', current_user
      USING HINT = 'Have an administrator run: CREATE ROLE dispatcher_producer NOLOGIN';
END $$;

-- A later migration that creates a table, a sequence or a function must revoke again: default privileges
-- of one schema can only add to the rights of PUBLIC, not remove them.
REVOKE ALL ON SCHEMA dispatcher FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA dispatcher FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA dispatcher FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA dispatcher FROM PUBLIC;

GRANT USAGE ON SCHEMA dispatcher TO dispatcher_producer;
GRANT INSERT (type, data, environment_id, idempotency_key, reference) ON dispatcher.events TO dispatcher_producer;
-- An INSERT evaluates event_id as a default. It only computes.
GRANT EXECUTE ON FUNCTION dispatcher.event_id() TO dispatcher_producer;
GRANT EXECUTE ON FUNCTION dispatcher.emit(text, json, text, text, text) TO dispatcher_producer;
