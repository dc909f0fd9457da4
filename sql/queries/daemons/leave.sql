-- $1 daemon id. Release all its shards, and remove it.
WITH freed AS (UPDATE dispatcher.shards SET owner = NULL WHERE owner = $1)
DELETE FROM dispatcher.daemons WHERE id = $1
