"""The configuration: its sections, how it is loaded, and the kinds of value a setting can be."""
