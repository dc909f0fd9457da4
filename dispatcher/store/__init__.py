"""Run all SQL of the project: open sessions, migrate, and run the statements of `sql/queries/`."""
