"""The API from Python: `Client`, and `AsyncClient` whose methods are coroutines.

    client = Client("https://dispatcher.example.com", token)
    webhook = client.webhooks.create("https://example.com/in", ["user.*"])
    for delivery in client.webhooks.each_delivery(webhook.id, status="FAILED"):
        print(delivery.event, delivery.response_status)

`Client` needs the standard library only. Programs that receive webhooks need no client at all:
`Client.webhooks.construct_event(body, headers, secret)` is that of dispatcher.receiver.
"""

from dispatcher.client.resources import (
    ApiError,
    ClientError,
    Conflict,
    ConnectionFailed,
    Forbidden,
    Invalid,
    NotFound,
    Page,
    RateLimited,
    Resource,
    Unauthorized,
    Unavailable,
)
from dispatcher.client.transport import AsyncClient, Client

__all__ = [
    "ApiError",
    "AsyncClient",
    "Client",
    "ClientError",
    "Conflict",
    "ConnectionFailed",
    "Forbidden",
    "Invalid",
    "NotFound",
    "Page",
    "RateLimited",
    "Resource",
    "Unauthorized",
    "Unavailable",
]
