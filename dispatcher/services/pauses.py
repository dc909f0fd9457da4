"""Pause and resume sending, for one environment or for all.

An operator pauses, for instance, after restoring a backup. Events that are emitted during a pause
are delivered after it.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from dispatcher.core.environment_ids import ALL_ENVIRONMENTS
from dispatcher.core.errors import ConflictError
from dispatcher.core.figures import PauseTotals
from dispatcher.services.audit.audit_log import Actor, Journal
from dispatcher.services.public_ids import no_environment
from dispatcher.store.queries import pauses
from dispatcher.store.queries.endpoints import Endpoints
from dispatcher.store.session import Queryable

NAMED_LIMIT = 100
"""Most paused environments that are listed. There may be thousands."""


@dataclass(frozen=True, slots=True)
class Pause:
    """The pause state of an environment, or of all environments if `environment_id` is None.

    `paused` is true if nothing is sent. `paused_at` is the start of the environment's own pause,
    `all_paused_at` the start of the pause of all environments. If `environment_id` is None, both
    are the start of the pause of all. Then `still_paused` are environments that are paused
    themselves, at most 100, and `still_paused_count` is how many there are. Only their own resume
    ends those pauses.
    """

    environment_id: str | None
    paused: bool
    paused_at: datetime | None
    all_paused_at: datetime | None
    still_paused: tuple[str, ...] = ()
    still_paused_count: int = 0


@dataclass(frozen=True, slots=True)
class CurrentPause:
    """One pause in force. `environment_id` is None for the pause of all environments.

    `by` is None if the audit log has no entry.
    """

    environment_id: str | None
    since: datetime
    by: str | None


@dataclass(frozen=True, slots=True)
class ConfiguredPause:
    """The result of applying `delivery.paused`.

    `applied` is true if this call paused sending. Otherwise the setting was applied before:
    `paused_at` is the pause of all environments in force, `resumed_at` and `resumed_by` are when
    and by which actor sending was resumed.
    """

    applied: bool
    paused_at: datetime | None
    resumed_at: datetime | None
    resumed_by: str | None


@dataclass(frozen=True, slots=True)
class PauseStart:
    """The start of a pause and its actor.

    `by` is a token's name, `cli:<user>` or `dispatcher`, or None if that is no longer recorded.
    """

    at: datetime
    by: str | None


@dataclass(frozen=True, slots=True)
class EnvironmentPauses:
    """An environment and what stops its sending: its own pause, or the pause of all."""

    id: str
    name: str
    paused: PauseStart | None
    all_paused: PauseStart | None


class Pauses:
    """The pauses. Call these methods within a transaction.

    While all environments are paused, an environment that is not paused itself waits too. No send
    starts later than a second after the change. A send in progress is finished.
    """

    def __init__(self, session: Queryable, actor: Actor) -> None:
        self._pauses = pauses.Pauses(session)
        self._endpoints = Endpoints(session)
        self._journal = Journal(session, actor)

    async def get(self, environment_id: str | None) -> Pause:
        """Return the pause state. Raise NotFoundError if there is no such environment."""
        times = await self._pauses.since(environment_id)
        if times is None:
            raise no_environment(environment_id)
        own, of_all = times
        pause = Pause(environment_id, bool(own or of_all), own, of_all)
        if environment_id is not None:
            return pause
        ids = (current_pause.environment_id for current_pause in await self.current())
        return replace(
            pause,
            still_paused=tuple(id_ for id_ in ids if id_ is not None),
            still_paused_count=(await self.totals()).environments,
        )

    async def current(self, preferred: Collection[str] = ()) -> tuple[CurrentPause, ...]:
        """Return the pauses in force, that of all environments first. This needs no transaction.

        At most NAMED_LIMIT environments are listed. If more are paused, those of `preferred` are
        chosen before others. `totals` counts them all.
        """
        rows = await self._pauses.current(NAMED_LIMIT, preferred)
        return tuple(
            CurrentPause(row["environment_id"], row["paused_at"], row["actor"]) for row in rows
        )

    async def totals(self) -> PauseTotals:
        """Return how many pauses are in force, and since when. This needs no transaction."""
        return PauseTotals(**await self._pauses.totals())

    async def of_environment(self, environment_id: str) -> EnvironmentPauses:
        """Return an environment and what stops its sending. This needs no transaction.

        Raise NotFoundError if there is no such environment.
        """
        row = await self._pauses.of_environment(environment_id)
        if row is None:
            raise no_environment(environment_id)
        return EnvironmentPauses(
            row["id"],
            row["name"],
            _start(row["paused_at"], row["paused_by"]),
            _start(row["all_paused_at"], row["all_paused_by"]),
        )

    async def pause(self, environment_id: str | None) -> tuple[Pause, int]:
        """Pause, and return the pause and a version of endpoints.

        Nothing is sent once daemons have applied that version (see
        `propagation.wait_until_applied`). A pause in force stays as it is. Raise NotFoundError.
        """
        # The version first: endpoints that are made at the same time then get it as well.
        version = await self._endpoints.next_version()
        return await self._pause(environment_id, version), version

    async def resume(self, environment_id: str | None) -> Pause:
        """Resume sending. Do nothing if it is not paused.

        To resume all environments does not end the pauses of single ones: see Pause.still_paused.
        Raise NotFoundError if there is no such environment. Raise ConflictError if the environment
        itself is not paused but all environments are: resuming it would send nothing.
        """
        version = await self._endpoints.next_version()
        if await self._pauses.resume(environment_id, version):
            await self._journal.note(
                "sending.resume", environment_id or ALL_ENVIRONMENTS, environment_id
            )
            return await self.get(environment_id)
        pause = await self.get(environment_id)
        if pause.paused:
            raise ConflictError("All environments are paused. Resume all of them.")
        return pause

    async def apply_configured(self) -> ConfiguredPause:
        """Pause all environments for `delivery.paused`, unless this database has had it applied.

        A restored dump counts as another database, so it is paused again.
        """
        # In the same order as `pause`. Otherwise the two could deadlock.
        version = await self._endpoints.next_version()
        state = await self._pauses.configured()
        if state["applied"]:
            return ConfiguredPause(
                False, state["paused_at"], state["resumed_at"], state["resumed_by"]
            )
        await self._pauses.note_configured()
        paused = await self._pause(None, version)
        return ConfiguredPause(True, paused.paused_at, None, None)

    async def was_configured(self) -> bool:
        """Return True if `delivery.paused` was applied to this database."""
        return bool((await self._pauses.configured())["applied"])

    async def forget_configured(self) -> None:
        """Record that `delivery.paused` is not set. If it is set later, it is applied again."""
        await self._pauses.forget_configured()

    async def _pause(self, environment_id: str | None, version: int) -> Pause:
        if await self._pauses.pause(environment_id, version):
            await self._journal.note(
                "sending.pause", environment_id or ALL_ENVIRONMENTS, environment_id
            )
        return await self.get(environment_id)


def _start(at: datetime | None, by: str | None) -> PauseStart | None:
    return None if at is None else PauseStart(at, by)
