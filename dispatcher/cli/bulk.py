"""Retry or cancel many deliveries: count them, ask, start, and show the progress."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import click

from dispatcher.cli.confirmation import confirm
from dispatcher.cli.errors import CommandError
from dispatcher.cli.options.delivery_options import Selection
from dispatcher.cli.output.bulk_action_output import DONE, print_result
from dispatcher.cli.output.progress import show_progress
from dispatcher.cli.output.tables import counted
from dispatcher.cli.target import Target, call_api, each_environment
from dispatcher.cli.webhook_names import with_webhook_id

if TYPE_CHECKING:
    from dispatcher.client import Resource
    from dispatcher.client.methods import AsyncApi

Action = Literal["retry", "cancel"]

QUESTIONS = {"retry": "Send them again?", "cancel": "Cancel them?"}

DECIDING_FILTERS = frozenset({"status", "response_status", "error_code"})
"""Filters with which people decide whether delivered ones are sent again."""


@dataclass(slots=True)
class Part:
    """The deliveries of one environment: their count, and the bulk action once it has started.

    `refused` is why the bulk action could not be started or followed.
    """

    environment: str | None
    count: "Resource"
    action: "Resource | None" = None
    refused: str | None = None

    @property
    def is_empty(self) -> bool:
        """Return True if no delivery matches."""
        return not self.count.number and not self.count.more

    @property
    def handled(self) -> int:
        """Return the number of deliveries that were changed or left."""
        if self.action is None:
            return 0
        return int(self.action.made + sum(self.action.skipped.values()))

    @property
    def is_running(self) -> bool:
        """Return True if the bulk action has started and not ended, as far as is known."""
        is_started = self.action is not None and self.action.state == "RUNNING"
        return is_started and self.refused is None

    @property
    def problem(self) -> str | None:
        """Return why not all deliveries were handled, None if all were, or none were to be."""
        if self.refused is not None or self.action is None:
            return self.refused
        if self.action.state == "FAILED":
            return f"{self.action.id} failed: {self.action.error}"
        if self.action.state == "CANCELLED":
            counted_text = _count_text(self.count.number, self.count.more)
            return f"{self.action.id} was cancelled, after {self.handled:,} of {counted_text}."
        return None

    def api(self, client: "AsyncApi") -> "AsyncApi":
        """Return the client, bound to the environment."""
        return client if self.environment is None else client.within(self.environment)

    async def update(self, client: "AsyncApi") -> None:
        """Read the progress of the bulk action."""
        from dispatcher.client import NotFoundError

        if self.action is not None:
            try:
                self.action = await self.api(client).bulk_actions.get(self.action.id)
            except NotFoundError as error:
                self.refused = error.message

    def document(self) -> dict[str, Any]:
        """Return the part as a JSON object."""
        counts = {name: self.count[name] for name in ("number", "more")}
        return {"environmentId": self.environment, **counts, "bulkAction": self.action}


def change_many(target: Target, action: Action, selection: Selection, as_json: bool) -> None:
    """Retry or cancel what is selected, in the named environment or in all visible ones.

    Exactly the deliveries that were counted are changed. Raise CommandError if a bulk action is
    refused, fails or is cancelled.
    """
    if isinstance(selection.filters.get("webhook_id"), str):
        named = call_api(target, lambda client: with_webhook_id(client, selection.filters))
        selection = replace(selection, filters=named)
    filters = selection.filters
    parts = call_api(
        target,
        lambda client: _count(client, action, filters),
        needs_daemon=not selection.dry_run,
    )
    if not as_json:
        _print_counts(parts, is_named=target.environment is not None)
        if action == "retry" and not all(part.is_empty for part in parts):
            _warn_of_delivered(filters)
    chosen = [] if selection.dry_run else [part for part in parts if not part.is_empty]
    if chosen:
        if not selection.yes:
            confirm(QUESTIONS[action])
        call_api(target, lambda client: _run(client, chosen, action, selection))
    _print_results(parts, action, as_json)


async def _count(client: "AsyncApi", action: Action, filters: Mapping[str, Any]) -> list[Part]:
    """Return the counts. An environment without the webhook of the filters is left out."""
    from dispatcher.client import NotFoundError

    parts, unknown = [], None
    async for api in each_environment(client):
        try:
            count = await api.bulk_actions.start(action, filters, dry_run=True)
        except NotFoundError as error:
            unknown = error
        else:
            parts.append(Part(api.environment, count))
    if unknown is not None and not parts:
        raise unknown
    return parts


def _print_counts(parts: list[Part], *, is_named: bool) -> None:
    """Print how many match, and in which environments unless the command named one."""
    matches = [part for part in parts if not part.is_empty]
    if len(matches) > 1:
        for part in matches:
            click.echo(f"{part.environment}  {_count_text(part.count.number, part.count.more)}")
    total = sum(part.count.number for part in matches)
    text = _count_text(total, any(part.count.more for part in matches))
    only = matches[0].environment if len(matches) == 1 and not is_named else None
    where = f" in {only}" if only else ""
    click.echo(f"{text} {'matches' if text.startswith('1 ') else 'match'}{where}.", err=True)


def _warn_of_delivered(filters: Mapping[str, Any]) -> None:
    """Say that delivered ones are among those that match, unless a filter decides about that."""
    if not DECIDING_FILTERS & filters.keys():
        click.echo(
            "Delivered ones are included. To send only failed ones again: --status FAILED.",
            err=True,
        )


def _count_text(number: int, more: bool) -> str:
    return f"{'at least ' if more else ''}{counted(number, 'delivery', 'deliveries')}"


async def _run(client: "AsyncApi", parts: list[Part], action: Action, selection: Selection) -> None:
    """Start a bulk action for each part, and wait until all have ended.

    One that cannot be started is `refused`.
    """
    from dispatcher.client import ConflictError, NotFoundError

    for part in parts:
        try:
            part.action = await part.api(client).bulk_actions.start(
                action, selection.filters, below=part.count.below, rate=selection.rate
            )
        except (ConflictError, NotFoundError) as error:
            part.refused = error.message

    async def update() -> tuple[int, bool]:
        for part in parts:
            if part.is_running:
                await part.update(client)
        return sum(part.handled for part in parts), any(part.is_running for part in parts)

    await show_progress(DONE[action], sum(part.count.number for part in parts), update)


def _print_results(parts: list[Part], action: Action, as_json: bool) -> None:
    """Print the result of every bulk action.

    Raise CommandError if one was refused, failed or was cancelled.
    """
    started = [part.action for part in parts if part.action is not None]
    if as_json:
        click.echo(json.dumps([part.document() for part in parts]))
    else:
        for bulk_action in started:
            print_result(bulk_action)
    problems = [part.problem for part in parts if part.problem]
    if problems:
        raise CommandError("\n".join(problems))
