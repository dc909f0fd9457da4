-- $1 daemon id  $2 shards. Release those of the shards that the daemon owns.
UPDATE dispatcher.shards SET owner = NULL WHERE owner = $1 AND shard = ANY ($2::smallint[])
