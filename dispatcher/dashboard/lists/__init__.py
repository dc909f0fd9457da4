"""The lists of the dashboard: their filters, their live rows, and steps from item to item."""
