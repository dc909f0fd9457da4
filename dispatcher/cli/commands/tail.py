"""`dispatcher tail`: print deliveries as they end, or every attempt."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import click

from dispatcher.cli.output.delivery_output import (
    attempt_document,
    attempt_line,
    delivery_line,
)
from dispatcher.cli.output.listing import first
from dispatcher.cli.output.tables import width
from dispatcher.cli.target import (
    Target,
    call_api,
    each_environment,
    with_target,
)
from dispatcher.cli.webhook_names import WebhookParam, find_webhook

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from dispatcher.client import Resource
    from dispatcher.client.methods import AsyncApi

POLL_SECONDS = 0.5
"""The pause between two polls."""
PENDING_AT_START_LIMIT = 1000
"""How many of the deliveries that are already pending at the start are watched."""


@click.command()
@click.option(
    "--webhook",
    "webhook_id",
    type=WebhookParam(),
    metavar="ID|NAME",
    help="Only deliveries of this webhook.",
)
@click.option("--attempts", is_flag=True, help="Print every attempt, also of pending deliveries.")
@click.option("--failed", is_flag=True, help="Only what failed.")
@click.option(
    "--status",
    type=click.Choice(["DELIVERED", "FAILED", "CANCELLED"], case_sensitive=False),
    help="Only deliveries that ended with this status.",
)
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="Stop after N lines.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document a line.")
@with_target
def tail(
    target: Target,
    webhook_id: UUID | str | None,
    attempts: bool,
    failed: bool,
    status: str | None,
    count: int | None,
    as_json: bool,
) -> None:
    """Print each delivery as it ends, until Ctrl-C.

    With --attempts, print each attempt. Without --environment, watch every environment. A delivery
    that had ended before and is sent again, by a retry or a replay, may not be shown: see
    `dispatcher delivery list`.
    """
    if status is not None and (attempts or failed):
        raise click.UsageError("Give --status, or --attempts and --failed, not both.")
    printer = Printer("FAILED" if failed and not attempts else status, failed, count, as_json)
    call_api(
        target,
        lambda client: _tail(client, webhook_id, printer, attempts=attempts),
        needs_daemon=True,
    )


class Printer:
    """Prints deliveries or attempts that match, at most `count`, None for no limit."""

    def __init__(
        self, status: str | None, only_failed: bool, count: int | None, as_json: bool
    ) -> None:
        self._status = status
        self._only_failed = only_failed
        self._left = count
        self._as_json = as_json

    @property
    def is_done(self) -> bool:
        """Return True if nothing more is to be printed."""
        return self._left == 0

    def delivery(self, delivery: "Resource", webhook: str) -> None:
        """Print a delivery that has ended. `webhook` is the name of its webhook."""
        if self._status in (None, delivery.status):
            self._print(delivery, delivery_line(delivery, webhook).text(width()))

    def attempt(self, attempt: "Resource", webhook: str) -> None:
        """Print an attempt, as `attempt_document` describes it."""
        if not (self._only_failed and attempt.outcome == "ok"):
            self._print(attempt, attempt_line(attempt, webhook).text(width()))

    def _print(self, document: "Resource", text: str) -> None:
        if self._left != 0:
            click.echo(json.dumps(document) if self._as_json else text)
            self._left = None if self._left is None else self._left - 1


async def _tail(
    client: "AsyncApi", webhook: UUID | str | None, printer: Printer, *, attempts: bool
) -> None:
    """Poll until the first signal, or until the printer has printed enough."""
    import asyncio

    from dispatcher.cli.signals import stop_signal

    webhook_id = None
    if webhook is not None:
        client, webhook_id = await find_webhook(client, webhook)
    with stop_signal() as stop:
        clients = [client] if webhook_id else [api async for api in each_environment(client)]
        views = [View(api, webhook_id, printer, attempts=attempts) for api in clients]
        for view in views:
            await view.begin()
        click.echo(
            f"Waiting for {'attempts' if attempts else 'deliveries to end'}.",
            err=True,
        )
        while not stop.is_set():
            for view in views:
                await view.poll()
                if printer.is_done:
                    return
            try:
                await asyncio.wait_for(stop.wait(), POLL_SECONDS)
            except TimeoutError:
                continue


class View:
    """The deliveries of one environment or of one webhook, polled."""

    def __init__(
        self, client: "AsyncApi", webhook_id: UUID | None, printer: Printer, *, attempts: bool
    ) -> None:
        from dispatcher.cli.delivery_watch import AttemptCounts, Watch

        self._client = client
        self._webhook_id = webhook_id
        self._printer = printer
        self._watch: Watch = Watch()
        self._counts: AttemptCounts | None = AttemptCounts() if attempts else None
        self._names: dict[str, str] = {}
        self._is_answered = True

    async def begin(self) -> None:
        """Start watching. What has happened by now is not printed."""
        newest = await first(self._list(limit=1), 1)
        self._watch.note_listed(newest)
        looked_at, _ = await self._look()
        pending = await first(self._list(status="PENDING", limit=100), PENDING_AT_START_LIMIT)
        self._watch.ended_among(pending, datetime.now(UTC))
        if self._counts is not None:
            for item in (*newest, *looked_at, *pending):
                self._counts.first_new(item)

    async def poll(self) -> None:
        """Print what is new. Print nothing while the API or the database does not answer.

        The daemon may be restarting, so the command keeps polling.
        """
        from dispatcher.client import ConnectionFailedError, UnavailableError
        from dispatcher.store.errors import StatementTimeoutError, StoreError

        try:
            await self._print_new()
        except (
            ConnectionFailedError,
            UnavailableError,
            StoreError,
            StatementTimeoutError,
        ) as error:
            if self._is_answered:
                click.echo(f"No answer at present, still waiting: {error}", err=True)
            self._is_answered = False
        else:
            self._is_answered = True

    async def _print_new(self) -> None:
        looked_at, ended = await self._look()
        if self._counts is None:
            for delivery in ended:
                self._printer.delivery(delivery, await self._name(delivery.webhook_id))
            return
        for delivery in sorted(looked_at, key=lambda item: str(item.created_at)):
            first_new = self._counts.first_new(delivery)
            if first_new is not None:
                await self._print_attempts(delivery, first_new)

    async def _print_attempts(self, delivery: "Resource", first_new: int) -> None:
        """Print the attempts of a delivery from number `first_new` on."""
        name = await self._name(delivery.webhook_id)
        if delivery.status == "DELIVERED" and delivery.attempts == first_new:
            self._printer.attempt(attempt_document(delivery, None), name)
            return
        if "attemptList" not in delivery:
            delivery = await self._client.deliveries.get(delivery.id)
        for attempt in delivery.attempt_list:
            if attempt.number >= first_new and attempt.outcome != "cancelled":
                self._printer.attempt(attempt_document(delivery, attempt), name)

    async def _look(self) -> "tuple[list[Resource], list[Resource]]":
        """Return the deliveries that were looked at, and those that ended since the last call."""
        from dispatcher.client import NotFoundError

        items = [item async for item in self._list(since=self._watch.since, limit=100)]
        now = datetime.now(UTC)
        ended = self._watch.ended_among(items, now)
        self._watch.note_listed(items)
        for id_ in self._watch.due(now):
            try:
                item = await self._client.deliveries.get(id_)
            except NotFoundError:  # its retention has passed
                continue
            items.append(item)
            ended += self._watch.ended_among([item], now)
        return items, ended

    async def _name(self, webhook_id: str) -> str:
        """Return the name of a webhook, or its id if it is deleted."""
        from dispatcher.client import NotFoundError

        if webhook_id not in self._names:
            try:
                self._names[webhook_id] = (await self._client.webhooks.get(webhook_id)).name
            except NotFoundError:
                self._names[webhook_id] = webhook_id
        return self._names[webhook_id]

    def _list(
        self, *, since: datetime | None = None, status: str | None = None, limit: int
    ) -> "AsyncIterator[Resource]":
        if self._webhook_id is None:
            return self._client.deliveries.each(since=since, status=status, limit=limit)
        return self._client.webhooks.each_delivery(
            self._webhook_id, since=since, status=status, limit=limit
        )
