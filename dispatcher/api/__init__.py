"""The admin port: an aiohttp application on the service layer."""
