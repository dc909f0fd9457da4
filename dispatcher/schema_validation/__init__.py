"""JSON schemas, checked in a confined process."""
