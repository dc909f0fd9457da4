"""The command line: one module a group of commands.

Commands import heavy modules only when they run, so that `dispatcher --help` answers at once. The
exit code is 0 for success, 1 for failure, and 2 for wrong usage, input or configuration.
"""

import os
from pathlib import Path
from typing import Any

import click

from dispatcher import __version__
from dispatcher.cli.commands.audit import audit
from dispatcher.cli.commands.bulk_action import bulk_action
from dispatcher.cli.commands.check import check
from dispatcher.cli.commands.delivery import delivery
from dispatcher.cli.commands.demo import demo
from dispatcher.cli.commands.emit import emit
from dispatcher.cli.commands.environment import environment
from dispatcher.cli.commands.event import event
from dispatcher.cli.commands.event_type import event_type
from dispatcher.cli.commands.key import key
from dispatcher.cli.commands.listen import listen
from dispatcher.cli.commands.migrate import migrate
from dispatcher.cli.commands.pausing import pause, resume
from dispatcher.cli.commands.quarantine import quarantine
from dispatcher.cli.commands.replay import replay
from dispatcher.cli.commands.run import run
from dispatcher.cli.commands.seed import seed
from dispatcher.cli.commands.stats import stats
from dispatcher.cli.commands.tail import tail
from dispatcher.cli.commands.token import token
from dispatcher.cli.commands.verify import verify
from dispatcher.cli.commands.webhook import webhook
from dispatcher.cli.errors import explaining

CONFIG: dict[str, Any] = {
    "type": click.Path(path_type=Path),
    "metavar": "PATH",
    "help": "The TOML file. Default: $DISPATCHER_CONFIG, ./config.toml or"
    " /etc/dispatcher/config.toml.",
}


COLOUR: dict[str, Any] = {
    "type": click.Choice(["auto", "always", "never"]),
    "expose_value": False,
    "help": "When to colour. auto: on a terminal, unless $NO_COLOR is set.",
}


SUMMARY_LIMIT_CHARACTERS = 200
"""The longest summary of a command. One that is too long for a line is continued on the next."""


class CommandGroup(click.Group):
    """A group of commands that reports expected errors as sentences, without a traceback."""

    def invoke(self, context: click.Context) -> object:
        with explaining():
            return super().invoke(context)


def _set_colour(context: click.Context, _: click.Parameter, when: str | None) -> None:
    """Set when output is coloured. An option after a command replaces one before it.

    Click removes colours where the output is no terminal, unless they are set here.
    """
    if when is not None:
        context.color = {"always": True, "never": False}.get(when)
    elif context.parent is None and (
        os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    ):
        context.color = False


@click.group(
    cls=CommandGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--config", **CONFIG)
@click.option("--color", **COLOUR, callback=_set_colour)
@click.version_option(__version__, prog_name="dispatcher", message="%(prog)s %(version)s")
@click.pass_context
def main(context: click.Context, config: Path | None) -> None:
    """Send webhooks from rows in PostgreSQL. Sign them, retry them, and record every attempt."""
    context.obj = config


def _set_configuration(context: click.Context, _: click.Parameter, config: Path | None) -> None:
    """Store `--config` given after the command, which means the same as before it."""
    if config is not None:
        context.obj = config


def _add(group: click.Group, command: click.Command) -> None:
    after = click.Option(["--config"], expose_value=False, callback=_set_configuration, **CONFIG)
    command.params += [after, click.Option(["--color"], **COLOUR, callback=_set_colour)]
    command.short_help = command.get_short_help_str(SUMMARY_LIMIT_CHARACTERS)  # otherwise it is cut
    group.add_command(command)
    if isinstance(command, click.Group):
        for subcommand in list(command.commands.values()):
            _add(command, subcommand)


COMMANDS: tuple[click.Command, ...] = (
    run,
    demo,
    migrate,
    check,
    emit,
    webhook,
    event,
    delivery,
    bulk_action,
    event_type,
    seed,
    environment,
    token,
    key,
    tail,
    replay,
    stats,
    quarantine,
    audit,
    pause,
    resume,
    listen,
    verify,
)

for command in COMMANDS:
    _add(main, command)
