"""`dispatcher event`: look up events, over the API or in the database."""

import json
from datetime import datetime
from typing import TYPE_CHECKING

import click

from dispatcher.cli.output.delivery_output import DELIVERIES_OF_AN_EVENT
from dispatcher.cli.output.listing import (
    PAGE_LIMIT,
    as_json_option,
    call_about_one,
    call_newest,
    first,
    limit_option,
    print_item,
    print_items,
)
from dispatcher.cli.output.tables import Column, clip, clock, print_table
from dispatcher.cli.params import Moment, check_span, escape_controls
from dispatcher.cli.target import Target, with_target
from dispatcher.cli.webhook_names import add_names

if TYPE_CHECKING:
    from dispatcher.client import Resource
    from dispatcher.client.methods import AsyncApi

COLUMNS = (
    Column("EMITTED", lambda item: clock(item.created_at), long=lambda item: item.created_at),
    Column("ID", lambda item: item.id),
    Column("TYPE", lambda item: item.type, shrinks=1),
    Column("DELIVERIES", lambda item: _outcome(item), shrinks=1),
    Column("DATA", lambda item: _data(item), shrinks=1),
)
_PLACES = {
    "inbox": "waiting for the fan-out",
    "schema_check": "waiting for the schema check",
    "quarantine": "in quarantine",
}
_WAYS = ("delivered", "failed", "retrying", "waiting", "cancelled")


@click.group()
def event() -> None:
    """List events, and show what was sent for one. `dispatcher emit` emits one."""


@event.command(name="list")
@click.option("--type", "type_", metavar="TYPE", help="Only this type, or user.* for all below.")
@click.option("--since", type=Moment(), metavar="TIME", help="Emitted at this time or later.")
@click.option("--until", type=Moment(), metavar="TIME", help="Emitted before this time.")
@click.option("--reference", metavar="TEXT", help="Only events with this reference.")
@limit_option
@as_json_option
@with_target
def list_(
    target: Target,
    type_: str | None,
    since: datetime | None,
    until: datetime | None,
    reference: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List events, newest first. Without --environment, list those of every environment."""
    check_span(since, until)
    events = call_newest(
        target,
        lambda api, size: api.events.each(
            type=type_,
            since=since,
            until=until,
            reference=reference,
            outcome=True,
            limit=size,
        ),
        limit,
    )
    print_items(events, COLUMNS, as_json=as_json, empty="There are no such events.", limit=limit)


@event.command()
@click.argument("event_id", metavar="ID")
@as_json_option
@with_target
def get(target: Target, event_id: str, as_json: bool) -> None:
    """Show one event with its deliveries."""

    async def fetch(api: "AsyncApi") -> "Resource":
        event = await api.events.get(event_id)
        if not as_json:
            await add_names(api, event.deliveries)
        return event

    event = call_about_one(target, fetch)
    print_item(event, _print_event, as_json=as_json)


@event.command()
@click.argument("event_id", metavar="ID")
@limit_option
@as_json_option
@with_target
def deliveries(target: Target, event_id: str, limit: int, as_json: bool) -> None:
    """List all deliveries of one event, newest first."""

    async def fetch(api: "AsyncApi") -> "list[Resource]":
        size = min(limit + 1, PAGE_LIMIT)
        items = await first(api.events.each_delivery(event_id, limit=size), limit + 1)
        if not as_json:
            await add_names(api, items)
        return items

    items = call_about_one(target, fetch)
    empty = "The event has no deliveries."
    print_items(items, DELIVERIES_OF_AN_EVENT, as_json=as_json, empty=empty, limit=limit)


def _print_event(event: "Resource") -> None:
    reference = (f"  reference    {event.reference}",) if event.reference else ()
    for line in (
        f"{event.id}  {event.type}",
        f"  emitted      {event.created_at}, in {event.environment_id}",
        f"  key          {event.idempotency_key or '-'}",
        *reference,
        f"  data         {_data(event)}",
    ):
        click.echo(clip(escape_controls(line)))
    if event.waiting:
        click.echo(f"  deliveries   not made yet: the event is {_PLACES[event.waiting]}")
    elif not event.deliveries:
        click.echo(
            "  deliveries   none: no webhook wanted this type when it was fanned out,"
            " or it was discarded from quarantine"
        )
    print_table(DELIVERIES_OF_AN_EVENT, event.deliveries)
    if event.more_deliveries:
        click.echo(
            f"Only the newest {len(event.deliveries)} deliveries are shown. For more:"
            f" dispatcher event deliveries {event.id} --limit 1000",
            err=True,
        )


def _outcome(event: "Resource") -> str:
    """Return how the deliveries of an event went, as in `3 delivered, 1 waiting`."""
    outcome = event.outcome
    words = [_PLACES[outcome["place"]]] if outcome["place"] else []
    words += [f"{outcome[way]} {way}" for way in _WAYS if outcome[way]]
    if outcome["isPartial"]:
        words.append("and more")
    if words:
        return ", ".join(words)
    return "no deliveries" if outcome["isKept"] else "no longer kept"


def _data(event: "Resource") -> str:
    """Return the data as compact JSON. A listing leaves out large data."""
    if event.data is None and event.data_size > len("null"):
        return f"({event.data_size} bytes)"
    return json.dumps(event.data, ensure_ascii=False)
