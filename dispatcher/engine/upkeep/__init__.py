"""Do what events need beside their way: maintenance, statistics, status, a clock set back."""
