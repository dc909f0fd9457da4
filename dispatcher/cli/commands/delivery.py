"""`dispatcher delivery`: look up, retry and cancel deliveries, over the API or in the database."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import click

from dispatcher.cli.delivery_output import DELIVERIES, print_delivery
from dispatcher.cli.listing import (
    PAGE_LIMIT,
    as_json_option,
    first,
    in_its_environment,
    limit_option,
    newest,
    print_items,
)
from dispatcher.cli.params import Moment
from dispatcher.cli.target import Target, call_api, with_target

if TYPE_CHECKING:
    from dispatcher.client import Resource
    from dispatcher.client.methods import AsyncApi

_id = click.argument("delivery_id", metavar="ID")


@click.group()
def delivery() -> None:
    """List deliveries, show every attempt of one, retry it or cancel it."""


@delivery.command(name="list")
@click.option(
    "--webhook",
    "webhook_id",
    type=click.UUID,
    metavar="ID",
    help="Only deliveries to this webhook.",
)
@click.option(
    "--status",
    type=click.Choice(["PENDING", "DELIVERED", "FAILED", "CANCELLED"], case_sensitive=False),
    help="Only deliveries with this status.",
)
@click.option("--event", metavar="TYPE", help="Only this type, or user.* for all below.")
@click.option("--since", type=Moment(), metavar="TIME", help="Created at this time or later.")
@click.option("--until", type=Moment(), metavar="TIME", help="Created before this time.")
@limit_option
@as_json_option
@with_target
def list_(
    target: Target,
    webhook_id: UUID | None,
    status: str | None,
    event: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    as_json: bool,
) -> None:
    """List deliveries, newest first. Without --environment, list those of every environment."""

    def listed(api: "AsyncApi") -> "AsyncIterator[Resource]":
        filters = {"status": status, "event": event, "since": since, "until": until}
        size = min(limit, PAGE_LIMIT)
        if webhook_id is None:
            return api.deliveries.each(**filters, limit=size)  # type: ignore[arg-type] # each by its name
        return api.webhooks.each_delivery(webhook_id, **filters, limit=size)  # type: ignore[arg-type] # likewise

    async def request(client: "AsyncApi") -> "list[Resource]":
        if webhook_id is None:
            return await newest(client, listed, limit)
        return await in_its_environment(client, lambda api: first(listed(api), limit))

    deliveries = call_api(target, request)
    print_items(deliveries, DELIVERIES, as_json=as_json, empty="There are no such deliveries.")


@delivery.command()
@_id
@as_json_option
@with_target
def get(target: Target, delivery_id: str, as_json: bool) -> None:
    """Show one delivery with every attempt."""
    _print(target, lambda api: api.deliveries.get(delivery_id), as_json)


@delivery.command()
@_id
@as_json_option
@with_target
def retry(target: Target, delivery_id: str, as_json: bool) -> None:
    """Send a delivery again, also one that has ended. Send a pending one at once."""
    _print(target, lambda api: api.deliveries.retry(delivery_id), as_json)


@delivery.command()
@_id
@as_json_option
@with_target
def cancel(target: Target, delivery_id: str, as_json: bool) -> None:
    """Cancel a pending delivery. No further attempt starts."""
    _print(target, lambda api: api.deliveries.cancel(delivery_id), as_json)


def _print(
    target: Target, request: "Callable[[AsyncApi], Awaitable[Resource]]", as_json: bool
) -> None:
    delivery = call_api(target, lambda client: in_its_environment(client, request))
    if as_json:
        click.echo(json.dumps(delivery))
    else:
        print_delivery(delivery)
