"""The options that select deliveries."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, get_args

import click

from dispatcher.cli.params import Moment, check_span
from dispatcher.cli.webhook_names import WebhookParam
from dispatcher.core.model import Status

SELECTION_MISSING = "Give the ID of a delivery, filters such as --status FAILED, or --all."
SELECTION_DOUBLE = "Give either the ID of a delivery, or filters, or --all."

Command = Callable[..., object]

_FILTERS: Mapping[str, Callable[[Command], Command]] = {
    "status": click.option(
        "--status",
        type=click.Choice(get_args(Status), case_sensitive=False),
        help="Only deliveries with this status.",
    ),
    "failed": click.option(
        "--failed", is_flag=True, default=None, help="The same as --status FAILED."
    ),
    "event": click.option(
        "--event", metavar="TYPE", help="Only this type, or user.* for all below."
    ),
    "since": click.option(
        "--since", type=Moment(), metavar="TIME", help="Created at this time or later."
    ),
    "until": click.option(
        "--until", type=Moment(), metavar="TIME", help="Created before this time."
    ),
    "response_status": click.option(
        "--response-status", metavar="CODE", help="Last response, such as 503, or 5xx for all."
    ),
    "error_code": click.option(
        "--error-code", metavar="CODE", help="Last error, such as timeout, dns or http."
    ),
    "reference": click.option(
        "--reference", metavar="TEXT", help="Only of events with this reference."
    ),
}
_WEBHOOK: Mapping[str, Callable[[Command], Command]] = {
    "webhook_id": click.option(
        "--webhook",
        "webhook_id",
        type=WebhookParam(),
        metavar="ID|NAME",
        help="Only deliveries to this webhook.",
    )
}
_MANY: Mapping[str, Callable[[Command], Command]] = {
    "of_all": click.option("--all", "of_all", is_flag=True, help="All deliveries that there are."),
    "rate": click.option(
        "--rate",
        type=click.IntRange(min=1),
        metavar="N",
        help="Change at most N deliveries a second.",
    ),
    "dry_run": click.option("--dry-run", is_flag=True, help="Only count the deliveries."),
    "yes": click.option("--yes", is_flag=True, help="Start without asking."),
}


def filter_options(*, webhook: bool) -> Callable[[Command], Command]:
    """Return a decorator that adds the filters to a command, also `--webhook` if wanted.

    The command gets those that are given as the dict `filters`.
    """
    options = {**(_WEBHOOK if webhook else {}), **_FILTERS}
    return lambda command: _with_options(options, "filters", _given, command)


@dataclass(frozen=True, slots=True)
class Selection:
    """The deliveries that a command is to change, and how: what the options say."""

    filters: dict[str, Any]
    of_all: bool
    rate: int | None
    dry_run: bool
    yes: bool

    def is_of_one(self, delivery_id: str | None) -> bool:
        """Return True if one delivery is meant, False if many are.

        Raise UsageError unless they are selected in exactly one way, and for `--rate` or
        `--dry-run` beside an id.
        """
        if delivery_id is not None and (self.rate or self.dry_run):
            raise click.UsageError(SELECTION_DOUBLE)
        ways = [delivery_id is not None, bool(self.filters), self.of_all]
        if sum(ways) != 1:
            raise click.UsageError(SELECTION_DOUBLE if any(ways) else SELECTION_MISSING)
        return delivery_id is not None


def selection_options(command: Command) -> Command:
    """Add the options of a command that changes many deliveries. It gets a Selection."""

    def selection(values: dict[str, Any]) -> Selection:
        many = {name: values.pop(name) for name in _MANY}
        return Selection(_given(values), **many)

    return _with_options({**_MANY, **_WEBHOOK, **_FILTERS}, "selection", selection, command)


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """Return the filters that are given.

    Raise UsageError for a status beside `--failed`, and for a time span that is empty or negative.
    """
    filters = {name: value for name, value in values.items() if value is not None}
    if filters.pop("failed", False):
        if "status" in filters:
            raise click.UsageError("Give --status or --failed, not both.")
        filters["status"] = "FAILED"
    check_span(filters.get("since"), filters.get("until"))
    return filters


def _with_options(
    options: Mapping[str, Callable[[Command], Command]],
    name: str,
    made: Callable[[dict[str, Any]], object],
    command: Command,
) -> Command:
    """Add options to a command.

    The command gets, as the argument `name`, what `made` returns for the values of the options.
    """

    @wraps(command)
    def with_options(**kwargs: object) -> object:
        values = {option: kwargs.pop(option) for option in options}
        return command(**{name: made(values)}, **kwargs)

    decorated: Command = with_options
    for option in reversed(list(options.values())):
        decorated = option(decorated)
    return decorated
