"""Name the webhooks of deliveries, for people."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dispatcher.client import Resource
    from dispatcher.client.methods import AsyncApi

NAME = "webhookName"
"""The field for the name, which the API does not have. Output as JSON is without it."""


async def add_names(client: "AsyncApi", deliveries: "Sequence[Resource]") -> None:
    """Give each delivery the name of its webhook. One that is deleted has none.

    It costs one request for each webhook among them.
    """
    from dispatcher.client import NotFoundError

    known: dict[str, str | None] = {}
    for delivery in deliveries:
        id_ = delivery.webhook_id
        if id_ not in known:
            try:
                webhook = await client.within(delivery.environment_id).webhooks.get(id_)
                known[id_] = webhook.name
            except NotFoundError:
                known[id_] = None
        delivery[NAME] = known[id_]


def webhook_name(delivery: "Resource") -> str:
    """Return the name of the webhook, or its id if it has none."""
    return str(delivery.get(NAME) or delivery.webhook_id)
