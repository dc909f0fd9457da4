"""The values and decisions of the system, without I/O, clock or random numbers."""
