"""Daemons and the shards they own."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dispatcher.store.session import Asked
from dispatcher.store.statements import statement


@dataclass(frozen=True, slots=True)
class Renewal:
    """The answer to a heartbeat: the database's time, and what the daemon must know to go on."""

    now: float
    version: int
    shards: frozenset[int]
    others: int
    nudged: bool = False


class Daemons:
    def __init__(self, session: Asked) -> None:
        self._session = session

    async def join(self, daemon: int, lock_key: int) -> bool:
        """Enter the daemon and take its lock; False when another session holds that very lock."""
        return bool(await self._session.fetch(statement("daemons/join"), daemon, lock_key))

    async def renew(self, daemon: int, version: int) -> Renewal | None:
        """None: the daemon is not known any more."""
        rows = await self._session.fetch(statement("daemons/renew"), daemon, version)
        if not rows:
            return None
        row = rows[0]
        return Renewal(
            row["now"], row["version"], frozenset(row["shards"]), row["others"], row["nudged"]
        )

    async def unconfirmed(self, version: int) -> int:
        """How many daemons may still start a send with endpoints older than `version`."""
        rows = await self._session.fetch(statement("daemons/unconfirmed"), version)
        count: int = rows[0]["unconfirmed"]
        return count

    async def claim_shards(self, daemon: int, most: int) -> set[int]:
        rows = await self._session.fetch(statement("daemons/claim_shards"), daemon, most)
        return {row["shard"] for row in rows}

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
