"""The admin port: an aiohttp application that calls the service layer."""
