"""What `dispatcher check` asks of the database: one function a question, listed in CHECKS.

Each returns a line for a good answer, or None if it is not worth one, and raises a Failure for a bad
answer or a Doubt for one that only may be bad. The first, connecting, is `store.connect`'s: it finds wrong addresses, TLS,
poolers in transaction mode, standbys, old servers and settings that do not hold.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

from dispatcher.cli.errors import Failure

if TYPE_CHECKING:
    from dispatcher.config.sections import Config
    from dispatcher.store.server import Facts
    from dispatcher.store.session import Session

LISTEN_SECONDS = 3.0
LARGEST_SKEW_SECONDS = 2.0


class Doubt(Exception):
    """Something that may keep the daemon from working; each argument says what to do about one."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What each check may look at."""

    config: "Config"
    dsn: str
    session: "Session"
    facts: "Facts"
    asked_at: datetime
    answered_at: datetime


Check: TypeAlias = Callable[[Inspection], Awaitable[str | None]]


async def ask(config: "Config", dsn: str, session: "Session") -> Inspection:
    """Connect and ask the server for its facts. Raises AddressError and StoreUnavailable."""
    from dispatcher.store import address
    from dispatcher.store.server import Server

    address.read(dsn)
    await session.fetch("SELECT 1")  # so that the time it takes to connect is not in the clocks
    asked_at = datetime.now(UTC)
    facts = await Server(session).facts()
    return Inspection(config, dsn, session, facts, asked_at, datetime.now(UTC))


async def _reachable(asked: Inspection) -> str:
    facts = asked.facts
    return (
        f"database: {facts.database} is reachable as {facts.role}, PostgreSQL {facts.version},"
        " its sessions keep their settings"
    )


async def _password_file(asked: Inspection) -> None:
    from dispatcher.store import address

    if warnings := address.read(asked.dsn).warnings:
        raise Doubt("; ".join(warnings))


async def _encoding(asked: Inspection) -> str:
    if asked.facts.encoding != "UTF8":
        raise Failure(
            f"the database is encoded in {asked.facts.encoding}, and events may hold any Unicode"
            " text: create one with ENCODING 'UTF8' TEMPLATE template0"
        )
    return "encoding: UTF8"


async def _rights(asked: Inspection) -> str:
    """Before the first migration what it needs, afterwards that we are who made the schema."""
    facts = asked.facts
    if facts.schema_owner is None:
        if not facts.may_create_schema:
            raise Failure(
                f"the role {facts.role} may not create a schema, as dispatcher migrate must: GRANT"
                f" CREATE ON DATABASE {facts.database} TO {facts.role}"
            )
        if not (facts.has_producer_role or facts.may_create_role):
            raise Failure(
                f"the role {facts.role} may not create roles, and dispatcher_producer is not there:"
                " let an administrator run CREATE ROLE dispatcher_producer NOLOGIN"
            )
        return f"rights: {facts.role} may create what dispatcher migrate makes"
    if not facts.owns_schema:
        raise Failure(
            f"the schema dispatcher belongs to the role {facts.schema_owner}, and {facts.role} is no"
            f" member of it: let database.dsn name {facts.schema_owner}, or GRANT"
            f" {facts.schema_owner} TO {facts.role}"
        )
    return f"rights: {facts.role} owns the schema"


async def _other_roles(asked: Inspection) -> None:
    from dispatcher.cli import rights

    if found := await rights.warnings(asked.session):
        raise Doubt(*found)


async def _events(asked: Inspection) -> None:
    """Ask whether all events arrive, and all can be read."""
    from dispatcher.cli import event_checks

    if found := await event_checks.warnings(asked.config, asked.session):
        raise Doubt(*found)


async def _pauses(asked: Inspection) -> None:
    """Ask whether anything is paused, and what `delivery.paused` will do."""
    from dispatcher.cli.commands import pausing

    if found := await pausing.warnings(asked.config, asked.session):
        raise Doubt(*found)


async def _two_phase_commit(asked: Inspection) -> str | None:
    from dispatcher.cli import event_checks

    return await event_checks.two_phase_commit(asked.config, asked.session)


async def _schema(asked: Inspection) -> str:
    from dispatcher.store import migrate

    if asked.facts.schema_owner is not None and not asked.facts.owns_schema:
        raise Doubt("schema: not looked at without rights to it")
    async with migrate.connected(asked.dsn) as connection:
        await migrate.check(connection)
    return "schema: the one of this version"


async def _key(asked: Inspection) -> str:
    from dispatcher.encryption.cipher import Cipher, read_key
    from dispatcher.encryption.keyring import KeyRefused
    from dispatcher.store.settings import Settings

    if not asked.facts.owns_schema:
        return "key: none is stored yet"
    key = read_key(asked.config)
    stored = (await Settings(asked.session).read()).key_check
    if stored is None:
        return "key: none is stored yet"
    if key is None:
        raise KeyRefused("the database's secrets are encrypted with a key that is not configured")
    if not Cipher(key).matches(stored):
        raise KeyRefused("the database's secrets are encrypted with another key than secrets.key")
    return "key: the one that the secrets are encrypted with"


async def _notifications(asked: Inspection) -> str:
    from dispatcher.store.server import Server

    channel = f"dispatcher_check_{secrets.token_hex(8)}"
    heard = asyncio.Event()
    await asked.session.listen(channel, heard.set)
    await Server(asked.session).notify(channel)
    try:
        async with asyncio.timeout(LISTEN_SECONDS):
            await heard.wait()
    except TimeoutError:
        raise Failure(
            "a notification did not arrive: what stands between the daemon and PostgreSQL does not"
            " pass on LISTEN; connect to PostgreSQL itself"
        ) from None
    return "notifications: arrive"


async def _clock(asked: Inspection) -> str:
    skew = clock_skew(asked.facts.clock, asked.asked_at, asked.answered_at)
    if abs(skew) > LARGEST_SKEW_SECONDS:
        way = "ahead of" if skew > 0 else "behind"
        raise Doubt(
            f"the clock of the database is {abs(skew):.1f} s {way} the clock of this machine:"
            " signatures bear the time of this one; let both follow a time server (NTP)"
        )
    return "clocks: agree"


def clock_skew(theirs: datetime, before: datetime, after: datetime) -> float:
    """Return the seconds that their clock is ahead of ours, 0 if it was read between two of ours."""
    if theirs > after:
        return (theirs - after).total_seconds()
    return min(0.0, (theirs - before).total_seconds())


async def _connections(asked: Inspection) -> str:
    from dispatcher.store.server import Server, connections_needed

    needed, rooms = connections_needed(), await Server(asked.session).rooms()
    if small := [message for room in rooms if (message := room.too_small(needed))]:
        raise Failure("\n".join(small))
    if full := [message for room in rooms if (message := room.too_full(needed))]:
        raise Doubt("; ".join(full))
    return f"connections: {needed} are needed, and can be had"


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
CHECKS_OF_THE_SCHEMA: tuple[Check, ...] = (_other_roles, _events, _pauses, _two_phase_commit)
"""Asked only where all is well so far: a schema of another version cannot answer."""
