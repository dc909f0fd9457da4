"""Create, change, list and describe webhooks."""
