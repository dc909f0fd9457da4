"""`dispatcher quarantine`: events that could not be fanned out, over the API or in the database."""

import json
from typing import TYPE_CHECKING

import click

from dispatcher.cli.output.listing import (
    as_json_option,
    call_about_one,
    call_newest,
    limit_option,
    print_item,
    print_items,
)
from dispatcher.cli.output.tables import Column, clip, clock
from dispatcher.cli.params import escape_controls
from dispatcher.cli.target import Target, with_target

if TYPE_CHECKING:
    from dispatcher.client import Resource

COLUMNS = (
    Column("SINCE", lambda item: clock(item.quarantined_at), long=lambda i: i.quarantined_at),
    Column("ID", lambda item: item.id),
    Column("TYPE", lambda item: item.type, shrinks=1),
    Column(
        "FOR",
        lambda item: ", ".join(filter(None, (item.delivery_id, item.webhook_id))),
        shrinks=1,
    ),
    Column("REASON", lambda item: item.reason, shrinks=1, colour=lambda _: "red"),
    Column("DETAIL", lambda item: item.detail, shrinks=1),
)

_id = click.argument("quarantine_id", metavar="ID")


@click.group()
def quarantine() -> None:
    """List what could not be fanned out or recorded, release or discard it."""


@quarantine.command(name="list")
@limit_option
@as_json_option
@with_target
def list_(target: Target, limit: int, as_json: bool) -> None:
    """List the entries, newest first; without --environment those of every environment."""
    events = call_newest(target, lambda api, size: api.quarantine.each(limit=size), limit)
    print_items(events, COLUMNS, as_json=as_json, empty="Nothing is in quarantine.", limit=limit)


@quarantine.command()
@_id
@as_json_option
@with_target
def get(target: Target, quarantine_id: str, as_json: bool) -> None:
    """Show one entry, and the reason."""
    row = call_about_one(target, lambda api: api.quarantine.get(quarantine_id))
    print_item(row, print_row, as_json=as_json)


@quarantine.command()
@_id
@as_json_option
@with_target
def release(target: Target, quarantine_id: str, as_json: bool) -> None:
    """Release an entry: its event is fanned out, or its delivery sent again."""
    call_about_one(target, lambda api: api.quarantine.release(quarantine_id))
    _print_change(quarantine_id, "released", as_json)


@quarantine.command()
@_id
@as_json_option
@with_target
def discard(target: Target, quarantine_id: str, as_json: bool) -> None:
    """Discard an entry: its event is not fanned out, or its delivery cancelled.

    The event itself is kept. A replay that covers its time still sends it.
    """
    call_about_one(target, lambda api: api.quarantine.discard(quarantine_id))
    _print_change(quarantine_id, "discarded", as_json)


def print_row(row: "Resource") -> None:
    """Print one entry, with its delivery and its webhook if it has them."""
    click.echo(clip(escape_controls(f"{row.id}  {row.type}  {row.event_id}")))
    click.echo(f"  since   {row.quarantined_at}, in {row.environment_id}")
    if row.webhook_id:
        delivery = f"delivery {row.delivery_id}, " if row.delivery_id else ""
        click.echo(f"  for     {delivery}webhook {row.webhook_id}")
    click.echo(escape_controls(f"  reason  {row.reason}: {row.detail}"))


def _print_change(quarantine_id: str, change: str, as_json: bool) -> None:
    document = json.dumps({"id": quarantine_id, change: True})
    click.echo(document if as_json else f"{change} {quarantine_id}")
