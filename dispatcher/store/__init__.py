"""Run all SQL of the project. Each module is one noun, and each method runs one `.sql` file."""
