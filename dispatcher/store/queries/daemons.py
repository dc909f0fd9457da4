"""Read and write daemons and the shards that they own."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple, TypedDict

from dispatcher.core.model import Heartbeat, SilentDaemon
from dispatcher.store.rows import all_rows
from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement

DRAINING: Final = 2**63 - 1
"""The endpoint version that a draining daemon reports when it renews its lease.

It starts no more sends, so no change has to wait for it.
"""


@dataclass(frozen=True, slots=True)
class Renewal:
    """The answer to a heartbeat: the database's time, and what the daemon needs to go on.

    `others` are the heartbeats of the other daemons. `has_change_notices` is true if change notices
    are waiting. `horizon` is a transaction id: rows written by an older transaction are older than
    this heartbeat.
    """

    now: float
    version: int
    shards: frozenset[int]
    others: tuple[Heartbeat, ...]
    has_change_notices: bool = False
    horizon: str = "0"


class Claimed(NamedTuple):
    """A claimed shard.

    `age` is how many seconds ago its dead owner's last heartbeat was, by the database's clock. It
    is negative if that clock was set back, and None if the shard had no owner or the owner's row
    was gone before.
    """

    shard: int
    age: float | None


class MissedStep(NamedTuple):
    """The database's clock was set back by `seconds` while no daemon ran.

    `shards` are those that have no owner, or whose owner has no row. When they are claimed, no
    heartbeat shows the step.
    """

    seconds: float
    shards: frozenset[int]


class DaemonRow(TypedDict):
    """A daemon. `silence` and `status_age` are in seconds, `status` is the published JSON."""

    id: int
    silence: float
    shards: list[int]
    status: str | None
    started_at: datetime | None
    status_age: float | None


class Daemons:
    """The daemons and the owners of shards."""

    def __init__(self, session: Queryable) -> None:
        self._session = session

    async def join(self, daemon: int, before: int | None = None) -> None:
        """Register the daemon. The server process of this session is its sign of life.

        The daemon inherits the shards of `before`, the id that this process had until it lost its
        session.
        """
        await self._session.fetch(statement("daemons/join"), daemon, before)

    async def take_clock_step(self) -> MissedStep | None:
        """Return how the database's clock was set back while no daemon ran.

        Return None if it was not, or if another daemon has taken the step.
        """
        rows = await self._session.fetch(statement("daemons/take_clock_step"))
        if not rows:
            return None
        return MissedStep(rows[0]["seconds"], frozenset(rows[0]["shards"]))

    async def renew(self, daemon: int, version: int) -> Renewal | None:
        """Write a heartbeat and return what the daemon needs to go on.

        `version` is the endpoint version that it has applied, DRAINING if it starts no more sends.
        Return None if the daemon is no longer registered, or did not join in this session.
        """
        rows = await self._session.fetch(statement("daemons/renew"), daemon, version)
        if not rows:
            return None
        row = rows[0]
        return Renewal(
            now=row["now"],
            version=row["version"],
            shards=frozenset(row["shards"]),
            others=tuple(map(Heartbeat, row["ids"], row["counts"], row["ages"], row["draining"])),
            has_change_notices=row["has_change_notices"],
            horizon=row["horizon"],
        )

    async def count_outdated(self, version: int) -> int:
        """Return how many daemons may still start a send with endpoints older than `version`."""
        rows = await self._session.fetch(statement("daemons/count_outdated"), version)
        count: int = rows[0]["outdated"]
        return count

    async def claim_shards(
        self, daemon: int, limit: int, silent: Sequence[SilentDaemon] = ()
    ) -> tuple[Claimed, ...]:
        """Take up to `limit` free shards and return them.

        Remove each of the `silent` daemons whose session has ended or which sent no heartbeat for a
        whole lease. Its shards become free.
        """
        rows = await self._session.fetch(
            statement("daemons/claim_shards"),
            daemon,
            limit,
            [s.daemon for s in silent],
            [s.renewals for s in silent],
            [s.whole_lease for s in silent],
        )
        return tuple(Claimed(row["shard"], row["age"]) for row in rows)

    async def release_shards(self, daemon: int, shards: Collection[int]) -> None:
        """Give up shards that the daemon owns."""
        await self._session.fetch(statement("daemons/release_shards"), daemon, [*shards])

    async def leave(self, daemon: int) -> None:
        """Remove the daemon. Its shards become free."""
        await self._session.fetch(statement("daemons/leave"), daemon)

    async def prune(self) -> None:
        """Remove daemons that own no shard and sent no heartbeat for an hour."""
        await self._session.fetch(statement("daemons/prune"))

    async def publish_status(self, daemon: int, status: str) -> None:
        """Store the status that the daemon publishes about itself. `status` is JSON."""
        await self._session.fetch(statement("daemons/publish_status"), daemon, status)

    async def prune_status(self) -> None:
        """Remove the published status of daemons that no longer exist."""
        await self._session.fetch(statement("daemons/prune_status"))

    async def list(self) -> Sequence[DaemonRow]:
        """Return the daemons, those with most shards first.

        The keys are `id silence shards status started_at status_age`.
        """
        rows = await self._session.fetch(statement("daemons/list"))
        return all_rows(DaemonRow, rows)
