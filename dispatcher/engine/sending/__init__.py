"""Start attempts, make them, and record what came of each."""
