"""Run step by step what people start for many deliveries: replays and bulk actions."""
