"""Apply the migrations, one session at a time, and check that all are applied."""
