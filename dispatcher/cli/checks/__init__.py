"""The checks of `dispatcher check`."""
