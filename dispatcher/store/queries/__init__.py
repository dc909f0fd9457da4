"""Run the statements of `sql/queries/`: each module is one noun, and each method runs one file."""
