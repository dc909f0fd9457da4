"""`dispatcher replay`: send again what failed or was missed in a past time span."""

import json
import sys
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from dispatcher.cli.commands.webhook import counted
from dispatcher.cli.errors import Failure
from dispatcher.cli.params import Moment, shown
from dispatcher.cli.target import (
    Place,
    ask,
    everywhere,
    placed,
)

if TYPE_CHECKING:
    from dispatcher.client import Resource
    from dispatcher.client.methods import AsyncApi

EVERY = 0.3
"""Seconds between two requests for the progress."""


@dataclass(slots=True)
class Replay:
    """The replay to one webhook: the preview, and the recovery once it has started."""

    webhook: "Resource"
    preview: "Resource"
    recovery: "Resource | None" = None
    refused: str | None = None

    @property
    def total(self) -> int:
        """Return the number of deliveries in the preview."""
        return int(self.preview.failed + self.preview.missed)

    @property
    def made(self) -> int:
        """Return the number of deliveries that the recovery has created so far."""
        return int(self.recovery.made) if self.recovery else 0

    @property
    def is_running(self) -> bool:
        """Return True if the recovery has started and not ended."""
        return self.recovery is not None and self.recovery.state == "RUNNING"

    def client(self, client: "AsyncApi") -> "AsyncApi":
        """Return the client, bound to the webhook's environment."""
        return client.within(self.webhook.environment_id)

    async def look(self, client: "AsyncApi") -> None:
        """Update the progress of the recovery, if it has started."""
        if self.recovery is not None:
            webhooks = self.client(client).webhooks
            self.recovery = await webhooks.recovery(self.webhook.id, self.recovery.id)

    def document(self) -> dict[str, Any]:
        """Return the replay as a JSON object."""
        return {
            "webhookId": self.webhook.id,
            "url": self.webhook.url,
            **{name: self.preview[name] for name in ("failed", "missed", "more")},
            "recovery": self.recovery,
        }


@click.command()
@click.argument("webhook_ids", metavar="[ID]...", nargs=-1, type=click.UUID)
@click.option("--since", type=Moment(), required=True, metavar="TIME", help="From when on.")
@click.option("--until", type=Moment(), metavar="TIME", help="Until when; until now by default.")
@click.option("--failed-only", is_flag=True, help="Leave out events that were never owed.")
@click.option("--rate", type=click.IntRange(min=1), metavar="N", help="At most so many a second.")
@click.option("--dry-run", is_flag=True, help="Only count what would be sent.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@placed
def replay(
    place: Place,
    webhook_ids: tuple[UUID, ...],
    since: datetime,
    until: datetime | None,
    failed_only: bool,
    rate: int | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Send failed and missed deliveries of a time span again.

    TIME is a time such as 2026-02-26T12:00:00Z, or 2h for two hours ago.

    Without an ID, send to all active webhooks. Print the number of deliveries, ask, and show the
    progress. A replay continues if this command is stopped: end it with `dispatcher webhook
    cancel-recovery`.
    """
    span = {"since": since, "until": until, "missed": not failed_only}

    replays = ask(place, lambda client: _counted(client, webhook_ids, span))
    if not as_json:
        _tell(replays)
    wanted = [each for each in replays if each.total and not dry_run]
    if wanted:
        if not yes:
            click.confirm("Send them again?", abort=True, err=True)
        ask(place, lambda client: _send(client, wanted, span, rate))
    _say(replays, as_json)


def _say(replays: list[Replay], as_json: bool) -> None:
    """Print the result of every replay. Raise Failure if one was refused or failed."""
    if as_json:
        click.echo(json.dumps([each.document() for each in replays]))
    for each in replays:
        if each.recovery is not None and not as_json:
            click.echo(f"{each.webhook.id}  {each.recovery.state}  {each.made} sent again")
    refused = [each.refused for each in replays if each.refused]
    refused += [
        f"the recovery of {each.webhook.id} failed: {each.recovery.error}"
        for each in replays
        if each.recovery is not None and each.recovery.state == "FAILED"
    ]
    if refused:
        raise Failure("\n".join(refused))


async def _counted(
    client: "AsyncApi", webhook_ids: tuple[UUID, ...], span: dict[str, Any]
) -> list[Replay]:
    """Return a replay with its preview for each webhook; without ids, for all active ones."""
    if webhook_ids:
        found = [await client.webhooks.get(id_) for id_ in webhook_ids]
    else:
        listed = [await one.webhooks.list() async for one in everywhere(client)]
        found = [each for webhooks in listed for each in webhooks if each.active]
    replays = []
    for each in found:
        webhooks = client.within(each.environment_id).webhooks
        replays.append(Replay(each, await webhooks.recover(each.id, dry_run=True, **span)))
    return replays


def _tell(replays: list[Replay]) -> None:
    for each in replays:
        click.echo(shown(f"{each.webhook.id}  {counted(each.preview)}  {each.webhook.url}"))
    if not any(each.total for each in replays):
        click.echo("there is nothing to send again", err=True)


async def _send(
    client: "AsyncApi", replays: list[Replay], span: dict[str, Any], rate: int | None
) -> None:
    """Start all replays, each up to the time of its preview, and wait until they end."""
    from dispatcher.client import ConflictError

    for each in replays:
        counted_to = {**span, "until": each.preview.until}
        try:
            each.recovery = await each.client(client).webhooks.recover(
                each.webhook.id, rate=rate, **counted_to
            )
        except ConflictError as error:
            each.refused = error.message
    await _followed(client, [each for each in replays if each.recovery is not None])


async def _followed(client: "AsyncApi", replays: list[Replay]) -> None:
    """Show the progress on a terminal until all recoveries end."""
    import asyncio

    running = replays
    bar = click.progressbar(
        length=sum(each.total for each in replays),
        label="sent again",
        file=sys.stderr,
        hidden=not sys.stderr.isatty(),
    )
    with bar:
        while running:
            await asyncio.sleep(EVERY)
            for each in running:
                await each.look(client)
            bar.update(sum(each.made for each in replays) - bar.pos)
            running = [each for each in running if each.is_running]
