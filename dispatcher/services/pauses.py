"""Pause sending and resume it, for one environment or for all: for instance after a backup was restored.

What is emitted while sending is paused is delivered afterwards.
"""

from dataclasses import dataclass
from datetime import datetime

from dispatcher.core.errors import Conflict, Unknown
from dispatcher.services.audit_log import Actor, Journal
from dispatcher.store import pauses
from dispatcher.store.endpoints import Endpoints
from dispatcher.store.session import Asked

ALL = "*"
NAMED_MOST = 100
"""Paused environments that are named; there may be thousands."""


@dataclass(frozen=True, slots=True)
class Pause:
    """`environment_id` None: of all. `paused`: nothing is sent for it. `paused_at`: since when it is
    paused itself; `all_paused_at`: since when all environments are, and it with them."""

    environment_id: str | None
    paused: bool
    paused_at: datetime | None
    all_paused_at: datetime | None


@dataclass(frozen=True, slots=True)
class Paused:
    """One pause in force. `environment_id` None: of all. `by` None: the audit does not say."""

    environment_id: str | None
    since: datetime
    by: str | None


@dataclass(frozen=True, slots=True)
class Configured:
    """What `delivery.paused` came to. `applied`: sending was paused by it now. Else it was applied
    before: `paused_at` says since when all are paused, `resumed_at` and `resumed_by` who resumed."""

    applied: bool
    paused_at: datetime | None
    resumed_at: datetime | None
    resumed_by: str | None


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
        own, of_all = found
        return Pause(environment_id, bool(own or of_all), own, of_all)

    async def current(self) -> tuple[Paused, ...]:
        """Return the pauses in force, that of all environments first."""
        rows = await self._pauses.current(NAMED_MOST)
        return tuple(Paused(row["environment_id"], row["paused_at"], row["actor"]) for row in rows)

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
        # The version first: endpoints that are made at the same time then get it as well.
        return await self._pause(environment_id, await self._endpoints.bump())

    async def resume(self, environment_id: str | None) -> Pause:
        """Nothing happens if it is not paused. Raises Unknown, and Conflict if the environment is
        not paused itself but all are: nothing would be sent for it."""
        version = await self._endpoints.bump()
        if await self._pauses.resume(environment_id, version):
            await self._journal.note("sending.resume", environment_id or ALL, environment_id)
            return await self.get(environment_id)
        found = await self.get(environment_id)
        if found.paused:
            raise Conflict('All environments are paused; resume them with {"all": true}')
        return found

    async def apply_configured(self) -> Configured:
        """Pause all, as `delivery.paused` wishes, unless that was done to this very database before.

        A restored dump is another database: there it is done again.
        """
        version = await self._endpoints.bump()  # in the order of `pause`, or the two could deadlock
        state = await self._pauses.configured()
        if state["applied"]:
            return Configured(False, state["paused_at"], state["resumed_at"], state["resumed_by"])
        await self._pauses.note_configured()
        paused = await self._pause(None, version)
        return Configured(True, paused.paused_at, None, None)

    async def was_configured(self) -> bool:
        """Return whether `delivery.paused` was applied to this very database."""
        return bool((await self._pauses.configured())["applied"])

    async def forget_configured(self) -> None:
        """`delivery.paused` is not set: if it is set later, it is applied again."""
        await self._pauses.forget_configured()

    async def _pause(self, environment_id: str | None, version: int) -> Pause:
        if await self._pauses.pause(environment_id, version):
            await self._journal.note("sending.pause", environment_id or ALL, environment_id)
        return await self.get(environment_id)


def _stop(at: datetime | None, by: str | None) -> Stop | None:
    return None if at is None else Stop(at, by)
