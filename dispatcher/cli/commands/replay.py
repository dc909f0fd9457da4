"""`dispatcher replay`: send again what failed or was missed in a past time span."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from dispatcher.cli.confirmation import confirm
from dispatcher.cli.errors import CommandError
from dispatcher.cli.options.replay_options import replay_options
from dispatcher.cli.output.progress import show_progress
from dispatcher.cli.output.tables import Column, clip, counted, print_table
from dispatcher.cli.output.webhook_output import preview_text
from dispatcher.cli.params import escape_controls
from dispatcher.cli.target import (
    Target,
    call_api,
    each_environment,
    with_target,
)
from dispatcher.cli.webhook_names import WebhookParam, find_webhook

if TYPE_CHECKING:
    from dispatcher.client import Resource
    from dispatcher.client.methods import AsyncApi

COLUMNS = (
    Column("WEBHOOK", lambda item: item.id),
    Column("NAME", lambda item: item.name, shrinks=1),
    Column(
        "TO SEND",
        lambda item: f"{item.failed:,} failed, {item.missed:,} missed{'+' if item.more else ''}",
        long=preview_text,
    ),
    Column("URL", lambda item: item.url, shrinks=2),
)


@dataclass(slots=True)
class Replay:
    """The replay to one webhook: the preview, and the recovery once it has started.

    `before_created` is a preview of the part of the time span in which the webhook did not exist,
    None if there is no such part. `refused` is why it could not be started or followed.
    """

    webhook: "Resource"
    preview: "Resource"
    before_created: "Resource | None" = None
    recovery: "Resource | None" = None
    refused: str | None = None

    @property
    def row(self) -> "Resource":
        """Return the preview with the webhook's id, name and URL, for a table."""
        from dispatcher.client import Resource

        webhook = {name: self.webhook[name] for name in ("id", "name", "url", "environmentId")}
        return Resource({**self.preview, **webhook})

    @property
    def total(self) -> int:
        """Return the number of deliveries in the preview."""
        return int(self.preview.failed + self.preview.missed)

    @property
    def is_empty(self) -> bool:
        """Return True if there is nothing to send; counting may have ended before it found any."""
        return not self.total and not self.preview.more

    @property
    def created(self) -> int:
        """Return the number of deliveries that the recovery has created so far."""
        return int(self.recovery.made) if self.recovery else 0

    @property
    def is_running(self) -> bool:
        """Return True if the recovery has started and not ended, as far as is known."""
        is_started = self.recovery is not None and self.recovery.state == "RUNNING"
        return is_started and self.refused is None

    @property
    def problem(self) -> str | None:
        """Return why not all was queued again, None if all was, or nothing was to be."""
        if self.refused is not None or self.recovery is None:
            return self.refused
        name = f"The recovery of {self.webhook.id}"
        if self.recovery.state == "FAILED":
            return f"{name} failed: {self.recovery.error}"
        if self.recovery.state == "CANCELLED":
            return f"{name} was cancelled, with {self.created:,} of {self.total:,} queued again."
        return None

    def client(self, client: "AsyncApi") -> "AsyncApi":
        """Return the client, bound to the webhook's environment."""
        return client.within(self.webhook.environment_id)

    async def update(self, client: "AsyncApi") -> None:
        """Read the progress of the recovery, if it has started."""
        from dispatcher.client import NotFoundError

        if self.recovery is not None:
            webhooks = self.client(client).webhooks
            try:
                self.recovery = await webhooks.recovery(self.webhook.id, self.recovery.id)
            except NotFoundError as error:
                self.refused = error.message

    def document(self) -> dict[str, Any]:
        """Return the replay as a JSON object."""
        return {
            "webhookId": self.webhook.id,
            "url": self.webhook.url,
            **{name: self.preview[name] for name in ("failed", "missed", "more")},
            "recovery": self.recovery,
        }


@click.command()
@click.argument("webhook_ids", metavar="[ID|NAME]...", nargs=-1, type=WebhookParam())
@replay_options
@click.option("--yes", is_flag=True, help="Start without asking.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_target
def replay(
    target: Target,
    webhook_ids: tuple[UUID | str, ...],
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

    Without an ID, send to all active webhooks, to each what it missed since it was created: without
    --environment, to those of all environments that the token may see, or that the database has.
    Print the number of deliveries, ask whether to send them, and show the progress. A replay
    continues if this command is stopped: end it with `dispatcher webhook cancel-recovery`.
    """
    span = {"since": since, "until": until, "missed": not failed_only}

    replays = call_api(
        target,
        lambda client: _previews(client, webhook_ids, span),
        needs_daemon=not dry_run,
    )
    if not as_json:
        _print_previews(replays)
    chosen = [item for item in replays if not item.is_empty and not dry_run]
    if chosen:
        if not yes:
            confirm("Send them again?")
        call_api(target, lambda client: _send(client, chosen, span, rate))
    _print_results(replays, as_json)


def _print_results(replays: list[Replay], as_json: bool) -> None:
    """Print the result of every replay.

    Raise CommandError if one was refused, failed or was cancelled.
    """
    started = [item for item in replays if item.recovery is not None]
    if as_json:
        click.echo(json.dumps([item.document() for item in replays]))
    elif started:
        _print_totals(started)
    problems = [item.problem for item in replays if item.problem]
    if problems:
        raise CommandError("\n".join(problems))


def _print_totals(started: list[Replay]) -> None:
    for item in started:
        state = item.recovery.state if item.recovery else ""
        line = f"{item.webhook.id}  {item.webhook.name}  {state}  {item.created} queued again"
        click.echo(clip(escape_controls(line)))
    made, total = sum(item.created for item in started), sum(item.total for item in started)
    webhooks = counted(len(started), "webhook")
    click.echo(
        f"{made:,} of {total:,} queued again, for {webhooks}. See `dispatcher delivery list`.",
        err=True,
    )


async def _previews(
    client: "AsyncApi", webhook_ids: tuple[UUID | str, ...], span: dict[str, Any]
) -> list[Replay]:
    """Return a replay with its preview for each webhook; without ids, for all active ones."""
    from dispatcher.client import NotFoundError

    if webhook_ids:
        targets = [await find_webhook(client, webhook) for webhook in webhook_ids]
        webhooks = [await api.webhooks.get(id_) for api, id_ in targets]
        spans: list[dict[str, Any] | None] = [span] * len(webhooks)
    else:
        pages = [await api.webhooks.list() async for api in each_environment(client)]
        webhooks = [webhook for page in pages for webhook in page if webhook.active]
        spans = [_since_created(webhook, span) for webhook in webhooks]
    replays = []
    for webhook, own in zip(webhooks, spans, strict=True):
        if own is not None:
            try:
                replays.append(await _preview(client, webhook, own))
            except NotFoundError:  # it was deleted since it was listed
                if webhook_ids:
                    raise
    return replays


async def _preview(client: "AsyncApi", webhook: "Resource", span: dict[str, Any]) -> Replay:
    methods = client.within(webhook.environment_id).webhooks
    preview = await methods.recover(webhook.id, dry_run=True, **span)
    earlier = _until_created(webhook, span) if preview.missed else None
    before = await methods.recover(webhook.id, dry_run=True, **earlier) if earlier else None
    return Replay(webhook, preview, before)


def _until_created(webhook: "Resource", span: dict[str, Any]) -> dict[str, Any] | None:
    """Return the part of the time span in which the webhook did not exist, None if it did."""
    created_at = datetime.fromisoformat(webhook.created_at)
    if span["since"] >= created_at:
        return None
    return {**span, "until": min(span["until"] or created_at, created_at)}


def _since_created(webhook: "Resource", span: dict[str, Any]) -> dict[str, Any] | None:
    """Return the part of the time span in which the webhook existed, None if it did not.

    Otherwise a webhook that the command does not name would get events from before its creation.
    """
    since = max(span["since"], datetime.fromisoformat(webhook.created_at))
    if span["until"] is not None and since >= span["until"]:
        return None
    return {**span, "since": since}


def _print_previews(replays: list[Replay]) -> None:
    """Print what there is to send to each webhook, and the totals."""
    nonempty = [item for item in replays if not item.is_empty]
    print_table(COLUMNS, [item.row for item in nonempty])
    if not nonempty:
        click.echo("There is nothing to send again.", err=True)
        return
    failed, missed = (sum(item.preview[name] for item in nonempty) for name in ("failed", "missed"))
    least = "at least " if any(item.preview.more for item in nonempty) else ""
    rest = len(replays) - len(nonempty)
    click.echo(
        f"Total: {least}{failed:,} failed and {missed:,} missed,"
        f" for {counted(len(nonempty), 'webhook')}.",
        err=True,
    )
    for item in nonempty:
        if item.before_created is not None and item.before_created.missed:
            click.echo(escape_controls(_earlier_text(item.webhook, item.before_created)), err=True)
    if rest:
        click.echo(f"There is nothing for {counted(rest, 'other webhook')}.", err=True)


def _earlier_text(webhook: "Resource", preview: "Resource") -> str:
    """Return how many events are from before the webhook was created, and how to leave them out."""
    least = "at least " if preview.more else ""
    return (
        f"Missed from before {webhook.name} was created: {least}{preview.missed:,}."
        f" To leave them out: --since {webhook.created_at}"
    )


async def _send(
    client: "AsyncApi", replays: list[Replay], span: dict[str, Any], rate: int | None
) -> None:
    """Start all replays, each up to the time of its preview, and wait until they end.

    A replay is `refused` if its webhook was deleted or disabled since, or if another replay to it
    is running.
    """
    from dispatcher.client import ConflictError, NotFoundError

    for item in replays:
        counted_to = {**span, "since": item.preview.since, "until": item.preview.until}
        try:
            item.recovery = await item.client(client).webhooks.recover(
                item.webhook.id, rate=rate, **counted_to
            )
        except (ConflictError, NotFoundError) as error:
            item.refused = error.message
    await _show_progress(client, [item for item in replays if item.recovery is not None])


async def _show_progress(client: "AsyncApi", replays: list[Replay]) -> None:
    """Show the progress on a terminal until all recoveries end."""

    async def update() -> tuple[int, bool]:
        for item in replays:
            if item.is_running:
                await item.update(client)
        return sum(item.created for item in replays), any(item.is_running for item in replays)

    await show_progress("queued again", sum(item.total for item in replays), update)
