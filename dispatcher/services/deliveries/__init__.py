"""Deliveries: their history, and changes to one of them or to many."""
