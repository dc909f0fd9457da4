"""The output of commands about deliveries and their attempts."""

from typing import TYPE_CHECKING

import click

from dispatcher.cli.params import escape_controls
from dispatcher.cli.tables import Column, clip, clock, print_table, status_colour

if TYPE_CHECKING:
    from dispatcher.client import Resource


def answer(delivery: "Resource") -> str:
    """Return the answer to the last attempt: a status, or why there was none."""
    return str(delivery.response_status or delivery.error or "")


def short_answer(delivery: "Resource") -> str:
    """Return the answer to the last attempt: a status, or the code of the error."""
    return str(delivery.response_status or delivery.error_code or "")


WHEN = Column(
    "TIME (UTC)",
    lambda item: clock(item.ended_at or item.created_at),
    long=lambda item: item.ended_at or item.created_at,
)
STATUS = Column(
    "STATUS",
    lambda item: item.status,
    long=lambda item: f"{item.status:<9}",
    colour=status_colour,
)
ATTEMPTS = Column(
    "TRIES", lambda item: item.attempts, long=lambda item: f"attempts {item.attempts}"
)
ANSWER = Column("ANSWER", short_answer, long=answer, shrinks=True)
DELIVERIES = (
    WHEN,
    STATUS,
    Column("ID", lambda item: item.id),
    Column("EVENT", lambda item: item.event, shrinks=True),
    ATTEMPTS,
    ANSWER,
)
DELIVERIES_OF_AN_EVENT = (
    Column("ID", lambda item: item.id),
    STATUS,
    ATTEMPTS,
    Column("WEBHOOK", lambda item: item.webhook_id, shrinks=True),
    ANSWER,
)
_ATTEMPT_LIST = (
    Column("ATTEMPT", lambda item: item.number),
    Column("STARTED", lambda item: clock(item.started_at), long=lambda item: item.started_at),
    Column("TOOK", lambda item: f"{item.duration_ms} ms"),
    Column(
        "ANSWER",
        lambda item: item.status or item.outcome,
        colour=lambda item: "green" if item.outcome == "ok" else "red",
    ),
    Column("ERROR", lambda item: item.error or "", shrinks=True),
)


def print_delivery(delivery: "Resource") -> None:
    """Print a delivery with its attempts."""
    click.echo(clip(escape_controls(f"{delivery.id}  {delivery.event}  {delivery.event_id}")))
    colour = status_colour(delivery)
    click.echo(
        f"  status   {click.style(delivery.status, fg=colour)}, in {delivery.environment_id}"
    )
    click.echo(f"  webhook  {delivery.webhook_id}")
    if delivery.next_retry_at:
        click.echo(f"  next     attempt {delivery.attempts + 1} at {delivery.next_retry_at}")
    if delivery.get("attemptList"):
        print_table(_ATTEMPT_LIST, delivery.attempt_list)
