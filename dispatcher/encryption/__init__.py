"""The encryption key, and the values encrypted with it."""
