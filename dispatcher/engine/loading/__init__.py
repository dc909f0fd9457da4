"""Read deliveries and endpoints into memory, and keep it in agreement with their tables."""
