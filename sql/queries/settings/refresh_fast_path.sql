-- Let producers take the fast path if no schema is enforced, and only then.
SELECT dispatcher.refresh_fast_path()
