"""Fan out events: check those with a schema, choose which are next, and make deliveries."""
