"""`dispatcher bulk-action`: see and cancel the retrying or cancelling of many deliveries."""

import click

from dispatcher.cli.bulk import print_result
from dispatcher.cli.output.listing import (
    as_json_option,
    call_about_one,
    call_newest,
    limit_option,
    print_item,
    print_items,
)
from dispatcher.cli.output.tables import Column, clock
from dispatcher.cli.target import Target, with_target

COLUMNS = (
    Column(
        "STARTED",
        lambda item: clock(item.created_at),
        long=lambda item: item.created_at,
    ),
    Column("ID", lambda item: item.id),
    Column("ACTION", lambda item: item.action),
    Column("STATE", lambda item: item.state),
    Column("DONE", lambda item: item.made, long=lambda item: f"done {item.made}"),
    Column(
        "LEFT",
        lambda item: sum(item.skipped.values()),
        long=lambda item: f"left {sum(item.skipped.values())}",
    ),
    Column("ERROR", lambda item: item.error or "", shrinks=1),
)

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
    actions = call_newest(target, lambda api, size: api.bulk_actions.each(limit=size), limit)
    print_items(actions, COLUMNS, as_json=as_json, empty="There are no bulk actions.", limit=limit)


@bulk_action.command()
@_id
@as_json_option
@with_target
def get(target: Target, bulk_action_id: str, as_json: bool) -> None:
    """Show how far a bulk action is."""
    action = call_about_one(target, lambda api: api.bulk_actions.get(bulk_action_id))
    print_item(action, print_result, as_json=as_json)


@bulk_action.command()
@_id
@as_json_option
@with_target
def cancel(target: Target, bulk_action_id: str, as_json: bool) -> None:
    """Cancel a bulk action. What it has done stays done."""
    action = call_about_one(target, lambda api: api.bulk_actions.cancel(bulk_action_id))
    print_item(action, print_result, as_json=as_json)
