-- $1 daemon id
WITH freed AS (UPDATE dispatcher.shards SET owner = NULL WHERE owner = $1)
DELETE FROM dispatcher.daemons WHERE id = $1
