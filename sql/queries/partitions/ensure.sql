-- $1 days ahead
SELECT dispatcher.ensure_partitions($1)
