"""A question before a command starts."""

import sys

import click

from dispatcher.cli.errors import CommandError


def is_person_there() -> bool:
    """Return True if standard input is a terminal, and so a person can answer."""
    return sys.stdin.isatty()


def confirm(question: str) -> None:
    """Ask on standard error, and return if the answer is yes. Raise Abort otherwise.

    Raise CommandError if standard input ends without an answer, as without a terminal.
    """
    try:
        is_confirmed = click.confirm(question, err=True)
    except click.Abort:
        if is_person_there():
            raise
        click.echo(err=True)
        raise CommandError("There is no answer. To start without being asked: --yes.") from None
    if not is_confirmed:
        raise click.Abort
