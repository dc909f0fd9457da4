"""What is said of the daemon: log lines, metrics, and the service manager."""
