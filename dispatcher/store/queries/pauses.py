"""Read and write pauses of sending. `environment_id` None stands for all environments together."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TypedDict

from dispatcher.store.rows import all_rows, first_row, only_row
from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement


class EnvironmentPausesRow(TypedDict):
    """An environment with its own pause and that of all, each with the actor if it is recorded."""

    id: str
    name: str
    paused_at: datetime | None
    all_paused_at: datetime | None
    paused_by: str | None
    all_paused_by: str | None


class PauseRow(TypedDict):
    """A pause in force, of all environments if `environment_id` is None."""

    environment_id: str | None
    paused_at: datetime
    actor: str | None


class PauseTotalsRow(TypedDict):
    """The pauses in force together. A time is None if there is no such pause."""

    all_since: datetime | None
    environments: int
    oldest: datetime | None


class ConfiguredPauseRow(TypedDict):
    """Whether `delivery.paused` was applied to this database, and what happened since."""

    applied: bool
    paused_at: datetime | None
    resumed_at: datetime | None
    resumed_by: str | None


class Pauses:
    """The pauses of sending."""

    def __init__(self, session: Queryable) -> None:
        self._session = session

    async def pause(self, environment_id: str | None, version: int) -> bool:
        """Pause sending. Return False if it was paused already, or if the environment is unknown.

        `version` is the version of this change, drawn in the same transaction.
        """
        return bool(await self._session.fetch(statement("pauses/pause"), environment_id, version))

    async def resume(self, environment_id: str | None, version: int) -> bool:
        """Resume sending. Return False if it was not paused, or if the environment is unknown."""
        return bool(await self._session.fetch(statement("pauses/resume"), environment_id, version))

    async def of_environment(self, environment_id: str) -> EnvironmentPausesRow | None:
        """Return an environment with its pauses, or None if there is no such environment.

        The keys are `id name paused_at paused_by all_paused_at all_paused_by`.
        """
        rows = await self._session.fetch(statement("pauses/of_environment"), environment_id)
        return first_row(EnvironmentPausesRow, rows)

    async def since(
        self, environment_id: str | None
    ) -> tuple[datetime | None, datetime | None] | None:
        """Return when the environment was paused, and when all environments were.

        Return None if there is no such environment.
        """
        rows = await self._session.fetch(statement("pauses/since"), environment_id)
        return (rows[0]["paused_at"], rows[0]["all_paused_at"]) if rows else None

    async def current(self, limit: int, preferred: Collection[str]) -> Sequence[PauseRow]:
        """Return `environment_id paused_at actor` of each pause, that of all environments first.

        `actor` is None if the audit log has no entry. At most `limit` environments are listed. If
        more are paused, those of `preferred` are chosen before others.
        """
        rows = await self._session.fetch(statement("pauses/current"), limit, list(preferred))
        return all_rows(PauseRow, rows)

    async def totals(self) -> PauseTotalsRow:
        """Return `all_since environments oldest`, over all pauses in force."""
        return only_row(PauseTotalsRow, await self._session.fetch(statement("pauses/totals")))

    async def configured(self) -> ConfiguredPauseRow:
        """Return whether `delivery.paused` was applied to this database, and what happened since.

        The keys are `applied paused_at resumed_at resumed_by`. The row stays locked until the
        transaction ends.
        """
        rows = await self._session.fetch(statement("pauses/configured"))
        return only_row(ConfiguredPauseRow, rows)

    async def note_configured(self) -> None:
        """Record that `delivery.paused` was applied to this database."""
        await self._session.fetch(statement("pauses/note_configured"))

    async def forget_configured(self) -> None:
        """Record that `delivery.paused` is not set."""
        await self._session.fetch(statement("pauses/forget_configured"))
