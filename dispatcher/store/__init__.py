"""The only package that knows SQL: one module a noun, one method a `.sql` file."""
