"""`dispatcher bulk-action`: list, show and cancel bulk actions."""

from typing import TYPE_CHECKING

import click

from dispatcher.cli.output.bulk_action_output import (
    BULK_ACTIONS,
    print_bulk_action,
    print_result,
)
from dispatcher.cli.output.listing import (
    PAGE_LIMIT,
    as_json_option,
    call_about_one,
    limit_option,
    newest,
    print_item,
    print_items,
)
from dispatcher.cli.target import Target, call_api, with_target
from dispatcher.cli.webhook_names import add_names_of_filters

if TYPE_CHECKING:
    from dispatcher.client import Resource
    from dispatcher.client.methods import AsyncApi

_id = click.argument("bulk_action_id", metavar="ID")


@click.group(name="bulk-action")
def bulk_action() -> None:
    """List bulk actions, show the progress of one, or cancel it.

    `dispatcher delivery retry` and `dispatcher delivery cancel` start them.
    """


@bulk_action.command(name="list")
@limit_option
@as_json_option
@with_target
def list_(target: Target, limit: int, as_json: bool) -> None:
    """List bulk actions, newest first. Without --environment, list those of every environment."""
    size = min(limit + 1, PAGE_LIMIT)

    async def fetch(client: "AsyncApi") -> "list[Resource]":
        items = await newest(client, lambda api: api.bulk_actions.each(limit=size), limit + 1)
        if not as_json:
            await add_names_of_filters(client, items[:limit])
        return items

    print_items(
        call_api(target, fetch),
        BULK_ACTIONS,
        as_json=as_json,
        empty="There are no bulk actions.",
        limit=limit,
    )


@bulk_action.command()
@_id
@as_json_option
@with_target
def get(target: Target, bulk_action_id: str, as_json: bool) -> None:
    """Show how far a bulk action is, and which deliveries it concerns."""

    async def fetch(api: "AsyncApi") -> "Resource":
        action = await api.bulk_actions.get(bulk_action_id)
        if not as_json:
            await add_names_of_filters(api, [action])
        return action

    print_item(call_about_one(target, fetch), print_bulk_action, as_json=as_json)


@bulk_action.command()
@_id
@as_json_option
@with_target
def cancel(target: Target, bulk_action_id: str, as_json: bool) -> None:
    """Cancel a bulk action. What it has done stays done."""
    action = call_about_one(target, lambda api: api.bulk_actions.cancel(bulk_action_id))
    print_item(action, print_result, as_json=as_json)
