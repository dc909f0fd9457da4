"""The key, and what is sealed with it."""
