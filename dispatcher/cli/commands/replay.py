"""`dispatcher replay`: send again what failed or was missed in a past time span."""

import json
import sys
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from dispatcher.cli.errors import CommandError
from dispatcher.cli.params import escape_controls
from dispatcher.cli.replay_options import replay_options
from dispatcher.cli.target import (
    Target,
    call_api,
    each_environment,
    with_target,
)
from dispatcher.cli.webhook_output import preview_text

if TYPE_CHECKING:
    from dispatcher.client import Resource
    from dispatcher.client.methods import AsyncApi

POLL_SECONDS = 0.3
"""The pause between two requests for the progress."""


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
    def created(self) -> int:
        """Return the number of deliveries that the recovery has created so far."""
        return int(self.recovery.made) if self.recovery else 0

    @property
    def is_running(self) -> bool:
        """Return True if the recovery has started and not ended."""
        return self.recovery is not None and self.recovery.state == "RUNNING"

    def client(self, client: "AsyncApi") -> "AsyncApi":
        """Return the client, bound to the webhook's environment."""
        return client.within(self.webhook.environment_id)

    async def update(self, client: "AsyncApi") -> None:
        """Read the progress of the recovery, if it has started."""
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
@replay_options
@click.option("--yes", is_flag=True, help="Start without asking.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_target
def replay(
    target: Target,
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

    Without an ID, send to all active webhooks. Print the number of deliveries, ask whether to send
    them, and show the progress. A replay continues if this command is stopped: end it with `dispatcher webhook
    cancel-recovery`.
    """
    span = {"since": since, "until": until, "missed": not failed_only}

    replays = call_api(target, lambda client: _previews(client, webhook_ids, span))
    if not as_json:
        _print_previews(replays)
    chosen = [item for item in replays if item.total and not dry_run]
    if chosen:
        if not yes:
            click.confirm("Send them again?", abort=True, err=True)
        call_api(target, lambda client: _send(client, chosen, span, rate))
    _print_results(replays, as_json)


def _print_results(replays: list[Replay], as_json: bool) -> None:
    """Print the result of every replay. Raise CommandError if one was refused or failed."""
    if as_json:
        click.echo(json.dumps([item.document() for item in replays]))
    for item in replays:
        if item.recovery is not None and not as_json:
            click.echo(f"{item.webhook.id}  {item.recovery.state}  {item.created} sent again")
    refused = [item.refused for item in replays if item.refused]
    refused += [
        f"The recovery of {item.webhook.id} failed: {item.recovery.error}"
        for item in replays
        if item.recovery is not None and item.recovery.state == "FAILED"
    ]
    if refused:
        raise CommandError("\n".join(refused))


async def _previews(
    client: "AsyncApi", webhook_ids: tuple[UUID, ...], span: dict[str, Any]
) -> list[Replay]:
    """Return a replay with its preview for each webhook; without ids, for all active ones."""
    if webhook_ids:
        webhooks = [await client.webhooks.get(id_) for id_ in webhook_ids]
    else:
        pages = [await api.webhooks.list() async for api in each_environment(client)]
        webhooks = [webhook for page in pages for webhook in page if webhook.active]
    replays = []
    for webhook in webhooks:
        methods = client.within(webhook.environment_id).webhooks
        replays.append(Replay(webhook, await methods.recover(webhook.id, dry_run=True, **span)))
    return replays


def _print_previews(replays: list[Replay]) -> None:
    for item in replays:
        click.echo(
            escape_controls(f"{item.webhook.id}  {preview_text(item.preview)}  {item.webhook.url}")
        )
    if not any(item.total for item in replays):
        click.echo("There is nothing to send again.", err=True)


async def _send(
    client: "AsyncApi", replays: list[Replay], span: dict[str, Any], rate: int | None
) -> None:
    """Start all replays, each up to the time of its preview, and wait until they end."""
    from dispatcher.client import ConflictError

    for item in replays:
        counted_to = {**span, "until": item.preview.until}
        try:
            item.recovery = await item.client(client).webhooks.recover(
                item.webhook.id, rate=rate, **counted_to
            )
        except ConflictError as error:
            item.refused = error.message
    await _show_progress(client, [item for item in replays if item.recovery is not None])


async def _show_progress(client: "AsyncApi", replays: list[Replay]) -> None:
    """Show the progress on a terminal until all recoveries end."""
    import asyncio

    running = replays
    bar = click.progressbar(
        length=sum(item.total for item in replays),
        label="sent again",
        file=sys.stderr,
        hidden=not sys.stderr.isatty(),
    )
    with bar:
        while running:
            await asyncio.sleep(POLL_SECONDS)
            for item in running:
                await item.update(client)
            bar.update(sum(item.created for item in replays) - bar.pos)
            running = [item for item in running if item.is_running]
