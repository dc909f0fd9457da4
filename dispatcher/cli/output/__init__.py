"""What commands print for people: tables, listings, webhooks, deliveries, progress."""
