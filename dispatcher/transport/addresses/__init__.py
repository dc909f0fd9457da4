"""Look host names up, and decide which addresses may be dialled."""
