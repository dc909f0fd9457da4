"""What the dashboard says in words."""
