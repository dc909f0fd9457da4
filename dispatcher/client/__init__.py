"""The API from Python: `Client`, and `AsyncClient` with coroutines as methods.

    client = Client("https://dispatcher.example.com", token)
    webhook = client.webhooks.create("https://example.com/in", ["user.*"])
    for delivery in client.webhooks.each_delivery(webhook.id, status="FAILED"):
        print(delivery.event, delivery.response_status)

`Client` needs only the standard library. Programs that receive webhooks need no client:
`Client.webhooks.construct_event(body, headers, secret)` is the function of dispatcher.receiver.
"""

from dispatcher.client.resources import (
    ApiError,
    ClientError,
    ConflictError,
    ConnectionFailedError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    Page,
    RateLimitedError,
    Resource,
    UnauthorizedError,
    UnavailableError,
)
from dispatcher.client.transport import AsyncClient, Client

__all__ = [
    "ApiError",
    "AsyncClient",
    "Client",
    "ClientError",
    "ConflictError",
    "ConnectionFailedError",
    "ForbiddenError",
    "InvalidError",
    "NotFoundError",
    "Page",
    "RateLimitedError",
    "Resource",
    "UnauthorizedError",
    "UnavailableError",
]
