"""`dispatcher delivery`: look up, retry and cancel deliveries, over the API or in the database."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import click

from dispatcher.cli.bulk import change_many
from dispatcher.cli.options.delivery_options import Selection, filter_options, selection_options
from dispatcher.cli.output.delivery_output import DELIVERIES, print_delivery
from dispatcher.cli.output.listing import (
    PAGE_LIMIT,
    as_json_option,
    call_about_one,
    first,
    in_its_environment,
    limit_option,
    newest,
    print_item,
    print_items,
)
from dispatcher.cli.target import Target, call_api, with_target
from dispatcher.cli.webhook_names import add_names, with_webhook_id

if TYPE_CHECKING:
    from dispatcher.client import Resource
    from dispatcher.client.methods import AsyncApi


@click.group()
def delivery() -> None:
    """List deliveries, show the attempts of one, retry or cancel one or many."""


@delivery.command(name="list")
@filter_options(webhook=True)
@limit_option
@as_json_option
@with_target
def list_(target: Target, filters: dict[str, Any], limit: int, as_json: bool) -> None:
    """List deliveries, newest first. Without --environment, list those of every environment."""

    def list_deliveries(api: "AsyncApi", size: int) -> "AsyncIterator[Resource]":
        return api.deliveries.each(**filters, limit=size)

    async def fetch(client: "AsyncApi") -> "list[Resource]":
        filters.update(await with_webhook_id(client, filters))
        fetch_limit = limit + 1
        size = min(fetch_limit, PAGE_LIMIT)
        if "webhook_id" in filters:
            items = await in_its_environment(
                client, lambda api: first(list_deliveries(api, size), fetch_limit)
            )
        else:
            items = await newest(client, lambda api: list_deliveries(api, size), fetch_limit)
        if not as_json:
            await add_names(client, items)
        return items

    deliveries = call_api(target, fetch)
    print_items(
        deliveries,
        DELIVERIES,
        as_json=as_json,
        empty="There are no such deliveries.",
        limit=limit,
    )


@delivery.command()
@click.argument("delivery_id", metavar="ID")
@as_json_option
@with_target
def get(target: Target, delivery_id: str, as_json: bool) -> None:
    """Show one delivery with its newest 200 attempts."""
    _print(target, lambda api: api.deliveries.get(delivery_id), as_json)


@delivery.command()
@click.argument("delivery_id", metavar="[ID]", required=False)
@selection_options
@as_json_option
@with_target
def retry(target: Target, delivery_id: str | None, selection: Selection, as_json: bool) -> None:
    """Send a delivery again, also one that has ended. Send a pending one at once.

    One that has ended starts the whole retry schedule again. Its attempt numbers continue.

    Without an ID, count the deliveries that match the filters, ask, and send all of them again:
    without --environment, those of all environments that the token may see, or that the database
    has. The daemon goes on if this command is stopped: see `dispatcher bulk-action`.
    """
    if selection.is_of_one(delivery_id):
        _print(target, lambda api: api.deliveries.retry(delivery_id or ""), as_json)
    else:
        change_many(target, "retry", selection, as_json)


@delivery.command()
@click.argument("delivery_id", metavar="[ID]", required=False)
@selection_options
@as_json_option
@with_target
def cancel(target: Target, delivery_id: str | None, selection: Selection, as_json: bool) -> None:
    """Cancel a pending delivery. No further attempt starts.

    Without an ID, count the pending deliveries that match the filters, ask, and cancel all of them:
    without --environment, those of all environments that the token may see, or that the database
    has. The daemon goes on if this command is stopped: see `dispatcher bulk-action`.
    """
    if selection.is_of_one(delivery_id):
        _print(target, lambda api: api.deliveries.cancel(delivery_id or ""), as_json)
    else:
        change_many(target, "cancel", selection, as_json)


def _print(
    target: Target, request: "Callable[[AsyncApi], Awaitable[Resource]]", as_json: bool
) -> None:
    async def fetch(api: "AsyncApi") -> "Resource":
        delivery = await request(api)
        if not as_json:
            await add_names(api, [delivery])
        return delivery

    print_item(call_about_one(target, fetch), print_delivery, as_json=as_json)
