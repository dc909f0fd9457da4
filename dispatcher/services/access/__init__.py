"""Who may use the API and the dashboard: tokens and sessions."""
