"""The options of the commands that send deliveries of a time span again."""

from collections.abc import Callable
from datetime import datetime
from functools import wraps

import click

from dispatcher.cli.params import Moment, check_span

Command = Callable[..., None]

_OPTIONS = (
    click.option("--dry-run", is_flag=True, help="Only count the deliveries."),
    click.option(
        "--rate",
        type=click.IntRange(min=1),
        metavar="N",
        help="Send at most N deliveries a second.",
    ),
    click.option(
        "--failed-only", is_flag=True, help="Only failed deliveries, not events that were missed."
    ),
    click.option(
        "--until", type=Moment(), metavar="TIME", help="The end of the time span. Default: now."
    ),
    click.option(
        "--since", type=Moment(), required=True, metavar="TIME", help="The start of the time span."
    ),
)
"""The last option first, because each decorator puts its option before the others."""


def replay_options(command: Command) -> Command:
    """Add `since`, `until`, `failed_only`, `rate` and `dry_run` to a command.

    The command raises UsageError for a time span that is empty or negative.
    """

    @wraps(command)
    def wrapped(*args: object, since: datetime, until: datetime | None, **more: object) -> None:
        check_span(since, until)
        command(*args, since=since, until=until, **more)

    for option in _OPTIONS:
        wrapped = option(wrapped)
    return wrapped
