-- Return how many relations all transactions may lock together, and how many transactions may be
-- prepared.
SELECT current_setting('max_locks_per_transaction')::bigint
       * (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint) AS locks,
       current_setting('max_prepared_transactions')::integer AS prepared
