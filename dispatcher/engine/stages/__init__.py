"""Run stages: repeat their passes, and find those that make no progress."""
