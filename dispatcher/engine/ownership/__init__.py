"""Own shards: hold the lease on them, and time the silence of the other daemons."""
