"""Hold deliveries in memory, within bounds, and decide which of them starts next. Pure."""
