-- $1 the greatest size of data in bytes
UPDATE dispatcher.settings SET max_data = $1 WHERE max_data <> $1
