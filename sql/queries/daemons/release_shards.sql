-- $1 daemon id  $2 shards
UPDATE dispatcher.shards SET owner = NULL WHERE owner = $1 AND shard = ANY ($2::smallint[])
