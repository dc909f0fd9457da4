"""Name the webhooks of deliveries for people, and find a webhook by its name."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import click

from dispatcher.cli.errors import CommandError
from dispatcher.cli.params import escape_controls
from dispatcher.cli.target import Target, call_api, each_environment

if TYPE_CHECKING:
    from dispatcher.client import Resource
    from dispatcher.client.methods import AsyncApi

T = TypeVar("T")

NAME_FIELD = "webhookName"
"""The field for the name, which the API does not have. Output as JSON is without it."""
HELD_FIELD = "webhookHolds"
"""The field that says what holds a pending delivery, its webhook or a pause. None if none does."""


async def add_names(client: "AsyncApi", deliveries: "Sequence[Resource]") -> None:
    """Give each delivery the name of its webhook, and say if that or a pause holds it.

    A webhook that is deleted has no name.

    It costs one request for each webhook among them, and one for each environment of pending ones.
    """
    known = await _webhooks(
        client, ((delivery.environment_id, delivery.webhook_id) for delivery in deliveries)
    )
    pending = {delivery.environment_id for delivery in deliveries if delivery.status == "PENDING"}
    paused = {id_ for id_ in pending if (await client.within(id_).pauses.get()).paused}
    for delivery in deliveries:
        webhook = known[delivery.webhook_id]
        delivery[NAME_FIELD] = webhook.name if webhook else None
        delivery[HELD_FIELD] = (
            _held(delivery, webhook, is_paused=delivery.environment_id in paused)
            if webhook
            else None
        )


async def add_names_of_filters(client: "AsyncApi", actions: "Sequence[Resource]") -> None:
    """Give each bulk action whose filters name a webhook the name of it.

    A webhook that is deleted has no name. It costs one request for each webhook among them.
    """
    named = [
        (action, action.filters["webhookId"])
        for action in actions
        if action.filters and action.filters["webhookId"]
    ]
    known = await _webhooks(client, ((action.environment_id, id_) for action, id_ in named))
    for action, id_ in named:
        webhook = known[id_]
        action[NAME_FIELD] = webhook.name if webhook else None


async def _webhooks(
    client: "AsyncApi", pairs: Iterable[tuple[str, str]]
) -> "Mapping[str, Resource | None]":
    """Return webhooks by their ids, None for one that is deleted. Ask for each once.

    `pairs` are of an environment and a webhook.
    """
    from dispatcher.client import NotFoundError

    known: dict[str, Resource | None] = {}
    for environment_id, id_ in pairs:
        if id_ not in known:
            try:
                known[id_] = await client.within(environment_id).webhooks.get(id_)
            except NotFoundError:
                known[id_] = None
    return known


def _held(delivery: "Resource", webhook: "Resource", *, is_paused: bool) -> str | None:
    """Return why the next attempt will not be at its time, None if it is."""
    if delivery.status != "PENDING":
        return None
    if not webhook.active:
        return "webhook disabled"
    if is_paused:
        return "sending is paused"
    next_at, until = delivery.next_retry_at, webhook.paused_until
    if until and (not next_at or datetime.fromisoformat(next_at) < datetime.fromisoformat(until)):
        return f"webhook resting until {until}"
    return None


def webhook_name(delivery: "Resource") -> str:
    """Return the name of the webhook, or its id if it has none."""
    return str(delivery.get(NAME_FIELD) or delivery.webhook_id)


# ── a webhook that is named ──────────────────────────────────────────────────────────────────────

NAME_LIMIT = 200
"""Most characters of a name."""
ENVIRONMENTS_LIMIT = 100
"""Most environments in which a name is looked for. With more, it needs --environment."""


class WebhookParam(click.ParamType["UUID | str"]):
    """The id of a webhook, or its name."""

    name = "webhook"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> UUID | str:
        text = str(value)
        try:
            return UUID(text)
        except ValueError:
            if not text.strip() or len(text) > NAME_LIMIT:
                self.fail("must be the id or the name of a webhook", param, ctx)
            return text


async def find_webhook(client: "AsyncApi", webhook: UUID | str) -> "tuple[AsyncApi, UUID]":
    """Return a client for the webhook's environment, and its id.

    An id is not looked up: its client is the given one. Raise CommandError unless a name is that of
    exactly one webhook of the named environment, or of all environments.
    """
    if isinstance(webhook, UUID):
        return client, webhook
    webhooks: list[Resource] = []
    searched = 0
    async for api in each_environment(client):
        searched += 1
        if searched > ENVIRONMENTS_LIMIT:
            raise CommandError(
                "There are too many environments to look for a name. Add --environment."
            )
        webhooks += [
            item for item in await api.webhooks.list(search=webhook) if item.name == webhook
        ]
    name = escape_controls(webhook)
    if not webhooks:
        raise CommandError(f"There is no webhook named {name!r}. See `dispatcher webhook list`.")
    if len(webhooks) > 1:
        some_ids = ", ".join(item.id for item in webhooks[:5])
        raise CommandError(f"{len(webhooks)} webhooks are named {name!r}. Give an id: {some_ids}")
    return client.within(webhooks[0].environment_id), UUID(webhooks[0].id)


def call_about_webhook(
    target: Target,
    webhook: UUID | str,
    request: "Callable[[AsyncApi, UUID], Awaitable[T]]",
) -> T:
    """Return the result of a request about a webhook, which is given by its id or its name."""

    async def about(client: "AsyncApi") -> T:
        api, id_ = await find_webhook(client, webhook)
        return await request(api, id_)

    return call_api(target, about)


async def with_webhook_id(client: "AsyncApi", filters: dict[str, Any]) -> dict[str, Any]:
    """Return filters of deliveries with the webhook's id, if they name a webhook."""
    if "webhook_id" not in filters:
        return filters
    _, id_ = await find_webhook(client, filters["webhook_id"])
    return {**filters, "webhook_id": id_}
