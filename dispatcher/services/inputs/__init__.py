"""What people may ask for: one model a request, which validates and describes it at once."""
