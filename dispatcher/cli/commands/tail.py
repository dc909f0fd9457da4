"""`dispatcher tail`: print deliveries as they end."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import click

from dispatcher.cli.target import (
    Target,
    call_api,
    each_environment,
    with_target,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from dispatcher.client import Resource
    from dispatcher.client.methods import AsyncApi

POLL_SECONDS = 0.5
"""The pause between two polls."""
MOST_PENDING_AT_START = 1000
"""How many of the deliveries that are already pending at the start are watched."""


@click.command()
@click.option(
    "--webhook",
    "webhook_id",
    type=click.UUID,
    metavar="ID",
    help="Only deliveries of this webhook.",
)
@click.option(
    "--status",
    type=click.Choice(["DELIVERED", "FAILED", "CANCELLED"], case_sensitive=False),
    help="Only deliveries that ended with this status.",
)
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="Stop after N deliveries.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document a line.")
@with_target
def tail(
    target: Target, webhook_id: UUID | None, status: str | None, count: int | None, as_json: bool
) -> None:
    """Print each delivery as it ends, until Ctrl-C.

    Without --environment, watch every environment. A delivery that had ended before and is retried
    by hand is not shown.
    """
    from dispatcher.cli.webhook_output import delivery_line

    left = count

    def show(delivery: "Resource") -> bool:
        """Print a delivery if it has the status. Return True if it was the last of --count."""
        nonlocal left
        if status in (None, delivery.status):
            click.echo(json.dumps(delivery) if as_json else delivery_line(delivery))
            left = None if left is None else left - 1
        return left == 0

    call_api(target, lambda client: _tail(client, webhook_id, show))


async def _tail(
    client: "AsyncApi", webhook_id: UUID | None, show: "Callable[[Resource], bool]"
) -> None:
    """Poll until the first signal, or until `show` returns True."""
    import asyncio

    from dispatcher.cli.signals import stop_signal

    with stop_signal() as stop:
        clients = [client] if webhook_id else [api async for api in each_environment(client)]
        views = [View(api, webhook_id) for api in clients]
        for view in views:
            await view.begin()
        click.echo("Waiting for deliveries to end.", err=True)
        while not stop.is_set():
            for view in views:
                if any(map(show, await view.ended_if_any())):
                    return
            try:
                await asyncio.wait_for(stop.wait(), POLL_SECONDS)
            except TimeoutError:
                continue


class View:
    """The deliveries of one environment or of one webhook, polled."""

    def __init__(self, client: "AsyncApi", webhook_id: UUID | None) -> None:
        from dispatcher.cli.delivery_watch import Watch

        self._client = client
        self._webhook_id = webhook_id
        self._watch: Watch = Watch()
        self._is_answered = True

    async def begin(self) -> None:
        """Start watching. Deliveries that have ended by now are not printed."""
        newest = [delivery async for delivery in _first(self._list(limit=1), 1)]
        self._watch.note_listed(newest)
        await self.ended()
        pending = self._list(status="PENDING", limit=100)
        watched = [delivery async for delivery in _first(pending, MOST_PENDING_AT_START)]
        self._watch.ended_among(watched, datetime.now(UTC))

    async def ended_if_any(self) -> "list[Resource]":
        """Return as `ended` does. Return nothing while the API or the database does not answer.

        The daemon may be restarting, so the command keeps polling.
        """
        from dispatcher.client import ConnectionFailedError, UnavailableError
        from dispatcher.store.errors import StatementTimeoutError, StoreUnavailableError

        try:
            ended = await self.ended()
        except (
            ConnectionFailedError,
            UnavailableError,
            StoreUnavailableError,
            StatementTimeoutError,
        ) as error:
            if self._is_answered:
                click.echo(f"No answer at present, still waiting: {error}", err=True)
            self._is_answered = False
            return []
        self._is_answered = True
        return ended

    async def ended(self) -> "list[Resource]":
        """Return the deliveries that have ended since the last call."""
        from dispatcher.client import NotFoundError

        items = [item async for item in self._list(since=self._watch.since, limit=100)]
        now = datetime.now(UTC)
        ended = self._watch.ended_among(items, now)
        self._watch.note_listed(items)
        for id_ in self._watch.due(now):
            try:
                ended += self._watch.ended_among([await self._client.deliveries.get(id_)], now)
            except NotFoundError:  # its retention has passed
                continue
        return ended

    def _list(
        self, *, since: datetime | None = None, status: str | None = None, limit: int
    ) -> "AsyncIterator[Resource]":
        if self._webhook_id is None:
            return self._client.deliveries.each(since=since, status=status, limit=limit)
        return self._client.webhooks.each_delivery(
            self._webhook_id, since=since, status=status, limit=limit
        )


async def _first(items: "AsyncIterator[Resource]", limit: int) -> "AsyncIterator[Resource]":
    async for item in items:
        yield item
        limit -= 1
        if not limit:
            return
