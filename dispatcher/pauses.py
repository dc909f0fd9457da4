"""Sending is stopped and started again, for one environment or for all: for instance after a backup
was restored. What is emitted meanwhile is owed."""

from dataclasses import dataclass
from datetime import datetime

from dispatcher.audit import Actor, Journal
from dispatcher.refusals import Unknown
from dispatcher.store import pauses
from dispatcher.store.endpoints import Endpoints
from dispatcher.store.session import Asked

ALL = "*"


@dataclass(frozen=True, slots=True)
class Pause:
    """`environment_id` None: of all. `paused_at` None: nothing is paused by it."""

    environment_id: str | None
    paused_at: datetime | None


@dataclass(frozen=True, slots=True)
class Stop:
    """When sending was paused, and by whom: a token's name, `cli:<user>` or `dispatcher`; None if
    that is not on record any more."""

    at: datetime
    by: str | None


@dataclass(frozen=True, slots=True)
class Standing:
    """An environment, and what stops its sending: its own pause, or the pause of all."""

    id: str
    name: str
    paused: Stop | None
    all_paused: Stop | None


class Pauses:
    """Ask within a transaction. An environment that is not paused waits all the same while all are.

    No send starts later than a second after the change; what is under way is finished.
    """

    def __init__(self, session: Asked, actor: Actor) -> None:
        self._pauses = pauses.Pauses(session)
        self._endpoints = Endpoints(session)
        self._journal = Journal(session, actor)

    async def get(self, environment_id: str | None) -> Pause:
        """Raises Unknown."""
        found = await self._pauses.since(environment_id)
        if found is None:
            raise Unknown(f"there is no environment {environment_id}")
        return Pause(environment_id, found[0])

    async def standing(self, environment_id: str) -> Standing:
        """Return how it is with an environment. Needs no transaction. Raises Unknown."""
        row = await self._pauses.standing(environment_id)
        if row is None:
            raise Unknown(f"there is no environment {environment_id}")
        return Standing(
            row["id"],
            row["name"],
            _stop(row["paused_at"], row["paused_by"]),
            _stop(row["all_paused_at"], row["all_paused_by"]),
        )

    async def pause(self, environment_id: str | None) -> Pause:
        """Nothing happens if it is paused. Raises Unknown."""
        # The version first: endpoints made meanwhile are then seen, and told as well.
        version = await self._endpoints.bump()
        if await self._pauses.pause(environment_id, version):
            await self._journal.note("sending.pause", environment_id or ALL, environment_id)
        return await self.get(environment_id)

    async def resume(self, environment_id: str | None) -> Pause:
        """Nothing happens if it is not paused. Raises Unknown."""
        version = await self._endpoints.bump()
        if await self._pauses.resume(environment_id, version):
            await self._journal.note("sending.resume", environment_id or ALL, environment_id)
        return await self.get(environment_id)


def _stop(at: datetime | None, by: str | None) -> Stop | None:
    return None if at is None else Stop(at, by)
