"""JSON schema checks in a confined process."""
