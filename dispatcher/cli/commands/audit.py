"""`dispatcher audit`: the record of all changes, from the API or the database."""

from datetime import datetime
from typing import TYPE_CHECKING

import click

from dispatcher.cli.output.listing import (
    PAGE_LIMIT,
    as_json_option,
    first,
    limit_option,
    print_items,
)
from dispatcher.cli.output.tables import Column, clock
from dispatcher.cli.target import Target, call_api, with_target

if TYPE_CHECKING:
    from dispatcher.client import Resource
    from dispatcher.client.methods import AsyncApi


def _subject(item: "Resource") -> str:
    """Return the name of the subject, or its id if it has none."""
    name: str = item.subject_name or item.subject
    gone = "revoked" if item.action.startswith("token.") else "deleted"
    return f"{name} ({gone})" if item.subject_exists is False else name


def _detail(item: "Resource") -> str:
    """Return what changed, in words."""
    from dispatcher.dashboard.words.audit_words import detail_text

    detail = item.detail if isinstance(item.detail, dict) else {}
    return detail_text(item.action, detail, datetime.fromisoformat(item.at))


COLUMNS = (
    Column("TIME (UTC)", lambda item: clock(item.at), long=lambda item: item.at),
    Column("ACTION", lambda item: item.action),
    Column("BY", lambda item: item.actor_name or item.actor, shrinks=1),
    Column("SUBJECT", _subject, shrinks=1),
    Column("CHANGES", _detail, shrinks=1),
)


@click.group()
def audit() -> None:
    """List who changed what, and when."""


@audit.command(name="list")
@click.option("--actor", metavar="NAME", help="Only changes by this actor, such as cli:root.")
@click.option("--action", metavar="NAME", help="Only this action, such as webhook.create.")
@click.option("--subject", metavar="ID", help="Only changes of this object.")
@limit_option
@as_json_option
@with_target
def list_(
    target: Target,
    actor: str | None,
    action: str | None,
    subject: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List changes, newest first. Without --environment, list those of every environment."""

    async def fetch(client: "AsyncApi") -> "list[Resource]":
        entries = client.within(None).audit.each(
            environment_id=client.environment,
            actor=actor,
            action=action,
            subject=subject,
            limit=min(limit + 1, PAGE_LIMIT),
        )
        return await first(entries, limit + 1)

    entries = call_api(target, fetch)
    empty = "There are no such changes."
    if not entries and action is not None:
        empty += _unknown_action(action)
    print_items(entries, COLUMNS, as_json=as_json, empty=empty, limit=limit)


def _unknown_action(action: str) -> str:
    """Return which actions there are if this one is not among them, else nothing."""
    from dispatcher.dashboard.words.audit_words import ACTIONS

    return "" if action in ACTIONS else f" Actions are: {', '.join(ACTIONS)}."
