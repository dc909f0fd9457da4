"""The configuration: its sections, how it is loaded, and the types of its values."""
