"""The output of commands about deliveries and their attempts."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from dispatcher.cli.output.tables import (
    STATUS_COLOURS,
    Column,
    clip,
    clock,
    columns_of,
    cut,
    print_table,
    printable,
    status_colour,
)
from dispatcher.cli.params import escape_controls
from dispatcher.cli.webhook_names import HELD_FIELD, NAME_FIELD, webhook_name

if TYPE_CHECKING:
    from dispatcher.client import Resource

BODY_LIMIT = 500
"""Most characters of an answer's body that are printed. `--json` has all that is kept."""


def answer(delivery: "Resource") -> str:
    """Return the answer to the last attempt: a status, or why there was none."""
    return str(delivery.response_status or delivery.error or "")


def short_answer(delivery: "Resource") -> str:
    """Return the answer to the last attempt: a status, or the code of the error."""
    return str(delivery.response_status or delivery.error_code or "")


def _answer_cell(delivery: "Resource", last_answer: str, next_at: str | None) -> str:
    """Return the last answer and, of a pending delivery, the next attempt or what holds it."""
    if why := _in_quarantine(delivery):
        return why
    held = delivery.get(HELD_FIELD)
    following = f"held: {held}" if held else f"next {next_at}" if next_at else ""
    return ", ".join(part for part in (last_answer, following) if part)


def _in_quarantine(delivery: "Resource") -> str | None:
    """Return why a delivery is in quarantine, as in `in quarantine: no room`, or None."""
    error = str(delivery.error or "")
    return error if delivery.status == "PENDING" and error.startswith("in quarantine: ") else None


WHEN = Column(
    "CREATED (UTC)", lambda item: clock(item.created_at), long=lambda item: item.created_at
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
ANSWER = Column(
    "ANSWER",
    lambda item: _answer_cell(item, short_answer(item), clock(item.get("nextRetryAt"))),
    long=lambda item: _answer_cell(item, answer(item), item.get("nextRetryAt")),
    shrinks=1,
)
WEBHOOK = Column("WEBHOOK", webhook_name, shrinks=1)
DELIVERIES = (
    WHEN,
    STATUS,
    Column("ID", lambda item: item.id),
    Column("EVENT", lambda item: item.event, shrinks=1),
    WEBHOOK,
    ATTEMPTS,
    ANSWER,
)
DELIVERIES_OF_A_WEBHOOK = tuple(column for column in DELIVERIES if column is not WEBHOOK)
DELIVERIES_OF_AN_EVENT = (
    Column("ID", lambda item: item.id),
    STATUS,
    ATTEMPTS,
    WEBHOOK,
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
    Column("ERROR", lambda item: item.error or "", shrinks=1),
)


def print_delivery(delivery: "Resource") -> None:
    """Print a delivery with its attempts."""
    click.echo(clip(escape_controls(f"{delivery.id}  {delivery.event}  {delivery.event_id}")))
    colour = status_colour(delivery)
    click.echo(
        f"  status   {click.style(delivery.status, fg=colour)}, in {delivery.environment_id}"
    )
    name = f"{delivery[NAME_FIELD]}, " if delivery.get(NAME_FIELD) else ""
    click.echo(clip(escape_controls(f"  webhook  {name}{delivery.webhook_id}")))
    if delivery.get("reference"):
        click.echo(clip(escape_controls(f"  reference  {delivery.reference}")))
    if why := _in_quarantine(delivery):
        entry = f"q_{delivery.id.removeprefix('dlv_')}"
        click.echo(escape_controls(f"  waits    {why}"))
        click.echo(f"           `dispatcher quarantine release {entry}`, or `discard`")
    elif held := delivery.get(HELD_FIELD):
        click.echo(f"  next     attempt {delivery.attempts + 1}, held: {held}")
    elif first := delivery.get("waitsFor"):
        click.echo(
            f"  next     attempt {delivery.attempts + 1}, after {first}: the webhook is ordered"
        )
    elif delivery.next_retry_at:
        click.echo(f"  next     attempt {delivery.attempts + 1} at {delivery.next_retry_at}")
    if delivery.get("attemptList"):
        print_table(_ATTEMPT_LIST, delivery.attempt_list)
    if delivery.response_body:
        click.echo(f"  body     {_excerpt(delivery.response_body)}")


def _excerpt(body: str) -> str:
    """Return the beginning of the last answer's body in one line, safe for a terminal."""
    shown = escape_controls(body[:BODY_LIMIT])
    return shown + printable("…", "...") if len(body) > BODY_LIMIT else shown


@dataclass(frozen=True, slots=True)
class LiveLine:
    """What `tail` prints about one delivery that ended, or about one attempt.

    `status` is that of a delivery, or `ok` or `failed` of an attempt. `answer` is the HTTP status,
    or the code of the error if there was no answer. `error` is None after a success.
    """

    time: str
    status: str
    delivery: str
    event: str
    attempts: str
    answer: str
    webhook: str
    error: str | None

    def text(self, limit: int | None) -> str:
        """Return one line, or lines that fit `limit` columns: the error has its own."""
        return self._whole() if limit is None else "\n".join(self._fitted(limit))

    def _whole(self) -> str:
        status = click.style(f"{self.status:<9}", fg=self._colour)
        arrow = printable("→", "->")
        line = (
            f"{self.delivery}  {self.event}  {self.attempts}  {self.answer}  {arrow} {self.webhook}"
        )
        end = "" if self.error is None else f"  {self.error}"
        return f"{self.time}  {status}  {escape_controls(line + end)}"

    def _fitted(self, limit: int) -> list[str]:
        end = f"#{self.attempts.rpartition(' ')[2]}  {self.delivery}"
        head = f"{self.time[11:19]}  {self.status:<9}  "
        room = max(20, limit - columns_of(head) - columns_of(end) - 2)
        arrow = f" {printable('→', '->')} "
        event, webhook = escape_controls(self.event), escape_controls(self.webhook)
        rest = room - columns_of(arrow)
        event = cut(event, max(rest // 2, rest - columns_of(webhook)))
        route = event + arrow + cut(webhook, rest - columns_of(event))
        route += " " * max(0, room - columns_of(route))
        coloured = click.style(head[10:], fg=self._colour)
        first = f"{head[:10]}{coloured}{route}  {end}"
        if self.error is None:
            return [first]
        return [first, " " * 10 + cut(escape_controls(self.error), limit - 10)]

    @property
    def _colour(self) -> str | None:
        return {"ok": "green", "failed": "red"}.get(self.status) or STATUS_COLOURS.get(self.status)


def delivery_line(delivery: "Resource", webhook: str) -> LiveLine:
    """Return the line about a delivery that ended. `webhook` is the name of its webhook."""
    return LiveLine(
        time=str(delivery.ended_at or delivery.created_at),
        status=delivery.status,
        delivery=delivery.id,
        event=delivery.event,
        attempts=f"attempts {delivery.attempts}",
        answer=short_answer(delivery),
        webhook=webhook,
        error=delivery.error,
    )


def attempt_line(attempt: "Resource", webhook: str) -> LiveLine:
    """Return the line about one attempt, as `attempt_document` describes it."""
    return LiveLine(
        time=str(attempt.at),
        status="ok" if attempt.outcome == "ok" else "failed",
        delivery=attempt.delivery_id,
        event=attempt.event,
        attempts=f"attempt {attempt.attempt}",
        answer=str(attempt.response_status or attempt.outcome),
        webhook=webhook,
        error=attempt.error,
    )


def attempt_document(delivery: "Resource", attempt: "Resource | None") -> "Resource":
    """Return one attempt with what it was for, as a resource of its own.

    Without `attempt`, it is the last one of the delivery, which was successful.
    """
    from dispatcher.client import Resource

    last = attempt or Resource(
        {
            "number": delivery.attempts,
            "outcome": "ok",
            "status": delivery.response_status,
            "error": None,
            "durationMs": delivery.duration_ms,
            "startedAt": delivery.ended_at,
        }
    )
    return Resource(
        {
            "at": last.started_at,
            "deliveryId": delivery.id,
            "webhookId": delivery.webhook_id,
            "environmentId": delivery.environment_id,
            "event": delivery.event,
            "eventId": delivery.event_id,
            "attempt": last.number,
            "outcome": last.outcome,
            "responseStatus": last.status,
            "error": last.error,
            "durationMs": last.duration_ms,
            "status": delivery.status,
        }
    )
