"""Daemons and the shards they own."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from dispatcher.core.model import Heartbeat, Silent
from dispatcher.store.session import Asked
from dispatcher.store.statements import statement


@dataclass(frozen=True, slots=True)
class Renewal:
    """The answer to a heartbeat: the database's time, and what the daemon must know to go on.

    `others` are the heartbeats of the other daemons. `horizon` is a transaction id: rows written by
    an older one were written before this heartbeat.
    """

    now: float
    version: int
    shards: frozenset[int]
    others: tuple[Heartbeat, ...]
    nudged: bool = False
    horizon: str = "0"


class Claimed(NamedTuple):
    """A shard that was claimed. `age`: how many seconds ago its owner, now taken for dead, was last
    heard of by the database's clock, negative if that was set back; None if it had no owner."""

    shard: int
    age: float | None


class Daemons:
    def __init__(self, session: Asked) -> None:
        self._session = session

    async def join(self, daemon: int, before: int | None = None) -> None:
        """Enter the daemon, with this session's server process as its sign of life. It inherits what
        `before` owns: the id this process had until it lost its session."""
        await self._session.fetch(statement("daemons/join"), daemon, before)

    async def renew(self, daemon: int, version: int) -> Renewal | None:
        """Return None if the daemon is not known any more, or did not join in this session."""
        rows = await self._session.fetch(statement("daemons/renew"), daemon, version)
        if not rows:
            return None
        row = rows[0]
        return Renewal(
            now=row["now"],
            version=row["version"],
            shards=frozenset(row["shards"]),
            others=tuple(map(Heartbeat, row["ids"], row["counts"], row["ages"])),
            nudged=row["nudged"],
            horizon=row["horizon"],
        )

    async def unconfirmed(self, version: int) -> int:
        """How many daemons may still start a send with endpoints older than `version`."""
        rows = await self._session.fetch(statement("daemons/unconfirmed"), version)
        count: int = rows[0]["unconfirmed"]
        return count

    async def claim_shards(
        self, daemon: int, most: int, silent: Sequence[Silent] = ()
    ) -> tuple[Claimed, ...]:
        """Take up to `most` free shards. Of the `silent` daemons those whose session has ended, or
        who were silent for the whole lease, are removed, and what they owned is free."""
        rows = await self._session.fetch(
            statement("daemons/claim_shards"),
            daemon,
            most,
            [s.daemon for s in silent],
            [s.renewals for s in silent],
            [s.whole_lease for s in silent],
        )
        return tuple(Claimed(row["shard"], row["age"]) for row in rows)

    async def release_shards(self, daemon: int, shards: Collection[int]) -> None:
        await self._session.fetch(statement("daemons/release_shards"), daemon, [*shards])

    async def leave(self, daemon: int) -> None:
        await self._session.fetch(statement("daemons/leave"), daemon)

    async def forget_dead(self) -> None:
        await self._session.fetch(statement("daemons/forget_dead"))

    async def tell(self, daemon: int, facts: str) -> None:
        """What it says of itself, JSON."""
        await self._session.fetch(statement("daemons/tell"), daemon, facts)

    async def forget_told(self) -> None:
        await self._session.fetch(statement("daemons/forget_told"))

    async def list(self) -> Sequence[Mapping[str, Any]]:
        """`id silence shards facts started_at facts_age`, those with most shards first."""
        rows = await self._session.fetch(statement("daemons/list"))
        return [dict(row) for row in rows]
