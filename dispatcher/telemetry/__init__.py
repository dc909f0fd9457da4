"""What the daemon reports about itself: log lines, metrics, and messages to systemd."""
