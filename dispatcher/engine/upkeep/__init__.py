"""Do what events need beside their way: maintenance, statistics, times after a clock set back."""
