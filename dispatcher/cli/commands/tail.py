"""`dispatcher tail`: print deliveries as they end."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import click

from dispatcher.cli.target import (
    Place,
    ask,
    everywhere,
    placed,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from dispatcher.client import Resource
    from dispatcher.client.methods import AsyncApi

EVERY = 0.5
"""Seconds between two polls."""
PENDING_FIRST = 1000
"""How many of the deliveries that are already pending at the start are watched."""


@click.command()
@click.option("--webhook", "webhook_id", type=click.UUID, metavar="ID", help="Only of this one.")
@click.option(
    "--status",
    type=click.Choice(["DELIVERED", "FAILED", "CANCELLED"], case_sensitive=False),
    help="Only those that ended so.",
)
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="Stop after so many.")
@click.option("--json", "as_json", is_flag=True, help="A JSON document a line.")
@placed
def tail(
    place: Place, webhook_id: UUID | None, status: str | None, count: int | None, as_json: bool
) -> None:
    """Print each delivery as it ends, until Ctrl-C.

    Without --environment, watch every environment. A delivery that had ended before and is retried
    by hand is not shown.
    """
    from dispatcher.cli.commands.webhook import delivery_line

    left = count

    def tell(delivery: "Resource") -> bool:
        """Print a delivery if it is wanted. Return True if it was the last of --count."""
        nonlocal left
        if status in (None, delivery.status):
            click.echo(json.dumps(delivery) if as_json else delivery_line(delivery))
            left = None if left is None else left - 1
        return left == 0

    ask(place, lambda client: _tail(client, webhook_id, tell))


async def _tail(
    client: "AsyncApi", webhook_id: UUID | None, tell: "Callable[[Resource], bool]"
) -> None:
    """Poll until the first signal, or until `tell` returns True."""
    import asyncio

    from dispatcher.cli.signals import heard

    with heard() as enough:
        found = [client] if webhook_id else [each async for each in everywhere(client)]
        views = [View(each, webhook_id) for each in found]
        for view in views:
            await view.begin()
        click.echo("waiting for deliveries to end", err=True)
        while not enough.is_set():
            for view in views:
                if any(map(tell, await view.ended_if_any())):
                    return
            try:
                await asyncio.wait_for(enough.wait(), EVERY)
            except TimeoutError:
                continue


class View:
    """The deliveries of one environment or of one webhook, polled."""

    def __init__(self, client: "AsyncApi", webhook_id: UUID | None) -> None:
        from dispatcher.cli.delivery_watch import Watch

        self._client = client
        self._webhook_id = webhook_id
        self._watch: Watch = Watch()
        self._answers = True

    async def begin(self) -> None:
        """Start watching. Deliveries that have ended by now are not printed."""
        newest = [each async for each in _first(self._each(limit=1), 1)]
        self._watch.listed(newest)
        await self.ended()
        pending = self._each(status="PENDING", limit=100)
        self._watch.see([each async for each in _first(pending, PENDING_FIRST)], datetime.now(UTC))

    async def ended_if_any(self) -> "list[Resource]":
        """Return as `ended` does. Return nothing while the API or the database does not answer.

        The daemon may be restarting, so the command keeps polling.
        """
        from dispatcher.client import ConnectionFailedError, UnavailableError
        from dispatcher.store.session import StatementTimeout, StoreUnavailable

        try:
            ended = await self.ended()
        except (
            ConnectionFailedError,
            UnavailableError,
            StoreUnavailable,
            StatementTimeout,
        ) as error:
            if self._answers:
                click.echo(f"waiting for an answer: {error}", err=True)
            self._answers = False
            return []
        self._answers = True
        return ended

    async def ended(self) -> "list[Resource]":
        """Return the deliveries that have ended since the last call."""
        from dispatcher.client import NotFoundError

        items = [each async for each in self._each(since=self._watch.since, limit=100)]
        now = datetime.now(UTC)
        ended = self._watch.see(items, now)
        self._watch.listed(items)
        for id_ in self._watch.due(now):
            try:
                ended += self._watch.see([await self._client.deliveries.get(id_)], now)
            except NotFoundError:  # its retention has passed
                continue
        return ended

    def _each(
        self, *, since: datetime | None = None, status: str | None = None, limit: int
    ) -> "AsyncIterator[Resource]":
        if self._webhook_id is None:
            return self._client.deliveries.each(since=since, status=status, limit=limit)
        return self._client.webhooks.each_delivery(
            self._webhook_id, since=since, status=status, limit=limit
        )


async def _first(items: "AsyncIterator[Resource]", most: int) -> "AsyncIterator[Resource]":
    async for item in items:
        yield item
        most -= 1
        if not most:
            return
