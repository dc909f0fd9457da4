"""The checks of `dispatcher check` on the database: one function each, listed in CHECKS.

Each returns a line to print, or None if there is nothing to say. It raises CommandError for a
problem, and CheckWarningError for a possible one. Connecting is the first check, in
`store/connection/`: it finds wrong addresses, TLS problems, poolers in transaction mode, standbys,
old servers and settings that do not persist.
"""

import asyncio
import json
import secrets
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

from dispatcher.cli.errors import CommandError

if TYPE_CHECKING:
    from dispatcher.config.sections import Config
    from dispatcher.store.queries.server import Facts
    from dispatcher.store.session import Session

LISTEN_SECONDS = 3.0
"""The longest wait for a notification, which usually arrives within milliseconds."""
SKEW_LIMIT_SECONDS = 2.0
"""The largest difference between the clocks. More may make receivers refuse signatures."""


class CheckWarningError(Exception):
    """A possible problem. Each argument describes one and says what to do."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """The input of every check."""

    config: "Config"
    dsn: str
    session: "Session"
    facts: "Facts"
    asked_at: datetime
    answered_at: datetime


Check: TypeAlias = Callable[[Inspection], Awaitable[str | None]]


async def inspect(config: "Config", dsn: str, session: "Session") -> Inspection:
    """Connect and read the facts of the server. Raise AddressError or StoreError."""
    from dispatcher.store.connection import address
    from dispatcher.store.queries.server import Server

    address.read(dsn)
    await session.fetch("SELECT 1")  # connect first: otherwise that time would count as clock skew
    asked_at = datetime.now(UTC)
    facts = await Server(session).facts()
    return Inspection(config, dsn, session, facts, asked_at, datetime.now(UTC))


async def _reachable(inspection: Inspection) -> str:
    facts = inspection.facts
    return (
        f"database: {facts.database} is reachable as {facts.role}, PostgreSQL {facts.version},"
        " its sessions keep their settings"
    )


async def _password_file(inspection: Inspection) -> None:
    from dispatcher.store.connection import address

    if warnings := address.read(inspection.dsn).warnings:
        raise CheckWarningError("; ".join(warnings))


async def _encoding(inspection: Inspection) -> str:
    if inspection.facts.encoding != "UTF8":
        raise CommandError(
            f"the database is encoded in {inspection.facts.encoding}, and events may hold any"
            " Unicode text: create one with ENCODING 'UTF8' TEMPLATE template0"
        )
    return "encoding: UTF8"


async def _rights(inspection: Inspection) -> str:
    """Check the rights to migrate, or after the first migration the ownership of the schema."""
    facts = inspection.facts
    if facts.schema_owner is not None and not facts.owns_schema:
        raise CommandError(
            f"the schema dispatcher belongs to the role {facts.schema_owner}, and {facts.role} is"
            f" no member of it: let database.dsn name {facts.schema_owner}, or GRANT"
            f" {facts.schema_owner} TO {facts.role}"
        )
    if missing := facts.missing_rights():
        raise CommandError("\n".join(missing))
    if facts.schema_owner is None:
        return f"rights: {facts.role} may create what dispatcher migrate creates"
    return f"rights: {facts.role} owns the schema"


async def _other_roles(inspection: Inspection) -> None:
    from dispatcher.cli.checks import rights_checks

    if messages := await rights_checks.warnings(inspection.session):
        raise CheckWarningError(*messages)


async def _events(inspection: Inspection) -> None:
    """Check whether all events are sent and can all be read."""
    from dispatcher.cli.checks import event_checks

    if messages := await event_checks.warnings(inspection.config, inspection.session):
        raise CheckWarningError(*messages)


async def _triggers(inspection: Inspection) -> str:
    from dispatcher.cli.checks import event_checks

    return await event_checks.require_triggers(inspection.session)


async def _pauses(inspection: Inspection) -> None:
    """Check whether sending is paused, and what `delivery.paused` will do."""
    from dispatcher.cli.checks import pause_checks

    if messages := await pause_checks.warnings(inspection.config, inspection.session):
        raise CheckWarningError(*messages)


async def _two_phase_commit(inspection: Inspection) -> str | None:
    from dispatcher.cli.checks import event_checks

    return await event_checks.two_phase_commit(inspection.config, inspection.session)


async def _schema(inspection: Inspection) -> str:
    from dispatcher.cli.database import Database, check_schema

    if inspection.facts.schema_owner is not None and not inspection.facts.owns_schema:
        raise CheckWarningError("schema: not checked, because the role has no rights to it")
    await check_schema(Database(inspection.dsn, ours=False))
    return "schema: it is the one of this version"


async def _key(inspection: Inspection) -> str:
    """Check that the configured key is the one that encrypts the database's secrets."""
    from dispatcher.encryption import keyring
    from dispatcher.store.queries.settings import Settings

    cipher = keyring.read(inspection.config)
    if not inspection.facts.owns_schema:
        if inspection.facts.schema_owner is not None:
            raise CheckWarningError("key: not checked, because the role has no rights to it")
        return "key: none is stored yet"
    stored = (await Settings(inspection.session).read()).key_check
    if stored is None:
        return "key: none is stored yet"
    if cipher is None:
        raise keyring.missing_key()
    if not cipher.knows(stored):
        raise keyring.wrong_key(inspection.config)
    if not cipher.matches(stored):
        raise CheckWarningError(
            "key: the secrets are still encrypted with the second key. Once every daemon has both"
            " keys, run: dispatcher key rotate"
        )
    return "key: it is the one that the secrets are encrypted with"


async def _notifications(inspection: Inspection) -> str:
    """Check that a notification arrives, which poolers in transaction mode do not pass on."""
    from dispatcher.store.queries.server import Server

    channel = f"dispatcher_check_{secrets.token_hex(8)}"
    arrived = asyncio.Event()
    await inspection.session.listen(channel, arrived.set)
    await Server(inspection.session).notify(channel)
    try:
        async with asyncio.timeout(LISTEN_SECONDS):
            await arrived.wait()
    except TimeoutError:
        raise CommandError(
            "a notification did not arrive, because a pooler between the daemon and PostgreSQL"
            " does not pass on LISTEN: connect to PostgreSQL itself"
        ) from None
    return "notifications: they arrive"


async def _clock(inspection: Inspection) -> str:
    skew = clock_skew(inspection.facts.clock, inspection.asked_at, inspection.answered_at)
    if abs(skew) > SKEW_LIMIT_SECONDS:
        relation = "ahead of" if skew > 0 else "behind"
        raise CheckWarningError(
            f"the clock of the database is {abs(skew):.1f} s {relation} the clock of this machine,"
            " whose time is in the signatures: let both follow a time server (NTP)"
        )
    return "clocks: they agree"


async def has_daemon_here(inspection: Inspection) -> bool:
    """Return True if a daemon of the database has the admin port of this machine.

    Each daemon publishes its host and port every few seconds. Without the schema there is none.
    """
    from dispatcher.core.heartbeats import LEASE_SECONDS
    from dispatcher.store.queries.daemons import Daemons

    if inspection.facts.schema_owner is None:
        return False
    place = (socket.gethostname(), inspection.config.admin.port)
    rows = await Daemons(inspection.session).list()
    published = [row["status"] for row in rows if row["silence"] < LEASE_SECONDS]
    if None in published:  # it has just started
        return True
    statuses = [json.loads(status) for status in published if status]
    return any((status["host"], status.get("admin_port")) == place for status in statuses)


def clock_skew(theirs: datetime, before: datetime, after: datetime) -> float:
    """Return how many seconds the database's clock is ahead, negative if it is behind.

    `theirs` was read between `before` and `after`, which are times of this machine. Return 0 if it
    lies between them.
    """
    if theirs > after:
        return (theirs - after).total_seconds()
    return min(0.0, (theirs - before).total_seconds())


async def _connections(inspection: Inspection) -> str:
    from dispatcher.store.queries.server import Server, connections_needed

    needed, rooms = connections_needed(), await Server(inspection.session).rooms()
    if small := [message for room in rooms if (message := room.too_small(needed))]:
        raise CommandError("\n".join(small))
    if full := [message for room in rooms if (message := room.too_full(needed))]:
        raise CheckWarningError("; ".join(full))
    return f"connections: {needed} are needed, and the server has room for them"


async def _daemons(inspection: Inspection) -> str:
    from dispatcher.services.verdict import has_daemon
    from dispatcher.store.queries.daemons import Daemons

    if await has_daemon(Daemons(inspection.session)):
        return "daemons: one or more are running"
    return "daemons: none is running, so nothing is sent before dispatcher run"


CHECKS: tuple[Check, ...] = (
    _reachable,
    _password_file,
    _encoding,
    _rights,
    _schema,
    _key,
    _notifications,
    _clock,
    _connections,
)
CHECKS_OF_THE_SCHEMA: tuple[Check, ...] = (
    _daemons,
    _other_roles,
    _triggers,
    _events,
    _pauses,
    _two_phase_commit,
)
"""These run only if no other check has failed, because they need the schema of this version."""
