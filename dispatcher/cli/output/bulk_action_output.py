"""The output of commands about bulk actions."""

from datetime import datetime
from typing import TYPE_CHECKING

import click

from dispatcher.cli.output.tables import Column, clip, clock
from dispatcher.cli.params import escape_controls
from dispatcher.cli.webhook_names import NAME_FIELD
from dispatcher.core import skip_reasons
from dispatcher.core.bulk_selection import SELECTED, BulkSelection

if TYPE_CHECKING:
    from dispatcher.client import Resource

DONE = {"retry": "queued again", "cancel": "cancelled"}


def selection(action: "Resource") -> str:
    """Return which deliveries a bulk action concerns, as in `failed, webhook Initech`."""
    filters = action.filters
    if filters is None:
        return SELECTED
    return BulkSelection(
        status=filters["status"],
        response_status=filters["responseStatus"],
        error_code=filters["errorCode"],
        event=filters["event"],
        reference=filters["reference"],
        webhook=action.get(NAME_FIELD) or filters["webhookId"],
        since=datetime.fromisoformat(filters["since"]) if filters["since"] else None,
        until=datetime.fromisoformat(filters["until"]),
    ).words(datetime.fromisoformat(action.created_at))


BULK_ACTIONS = (
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
    Column("DELIVERIES", selection, shrinks=1),
    Column("ERROR", lambda item: item.error or "", shrinks=1),
)


def print_result(action: "Resource") -> None:
    """Print what a bulk action has done, and a line for each reason to leave deliveries."""
    _print(f"{action.id}  {action.state}  {action.made:,} {DONE[action.action]}")
    for reason, number in action.skipped.items():
        _print(f"  {skip_reasons.left(reason, number)}")


def print_bulk_action(action: "Resource") -> None:
    """Print the result of a bulk action, which deliveries it concerns, and when it ran."""
    print_result(action)
    _print(f"  {action.action:<8} {selection(action)}")
    ended = f", ended {action.finished_at}" if action.finished_at else ""
    _print(f"  started  {action.created_at}{ended}, in {action.environment_id}")
    if action.error:
        _print(f"  error    {action.error}")


def _print(line: str) -> None:
    click.echo(clip(escape_controls(line)))
