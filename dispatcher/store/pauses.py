"""Read and write pauses of sending. `environment_id` None stands for all environments together."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement


class Pauses:
    """The pauses of sending."""

    def __init__(self, session: Queryable) -> None:
        self._session = session

    async def pause(self, environment_id: str | None, version: int) -> bool:
        """Pause sending. Return False if it was paused already.

        `version` is the version of this change, drawn in the same transaction.
        """
        return bool(await self._session.fetch(statement("pauses/pause"), environment_id, version))

    async def resume(self, environment_id: str | None, version: int) -> bool:
        """Resume sending. Return False if it was not paused."""
        return bool(await self._session.fetch(statement("pauses/resume"), environment_id, version))

    async def standing(self, environment_id: str) -> Mapping[str, Any] | None:
        """Return an environment with its pauses, or None if there is no such environment.

        The keys are `id name paused_at paused_by all_paused_at all_paused_by`.
        """
        rows = await self._session.fetch(statement("pauses/standing"), environment_id)
        return dict(rows[0]) if rows else None

    async def since(
        self, environment_id: str | None
    ) -> tuple[datetime | None, datetime | None] | None:
        """Return when the environment was paused, and when all environments were.

        Return None if there is no such environment.
        """
        rows = await self._session.fetch(statement("pauses/since"), environment_id)
        return (rows[0]["paused_at"], rows[0]["all_paused_at"]) if rows else None

    async def current(self, most: int) -> Sequence[Mapping[str, Any]]:
        """Return `environment_id paused_at actor` of each pause, that of all environments first.

        `actor` is None if the audit log has no entry. At most `most` environments are listed.
        """
        return [dict(row) for row in await self._session.fetch(statement("pauses/current"), most)]

    async def configured(self) -> Mapping[str, Any]:
        """Return whether `delivery.paused` was applied to this database, and what happened since.

        The keys are `applied paused_at resumed_at resumed_by`. The row stays locked until the
        transaction ends.
        """
        return dict((await self._session.fetch(statement("pauses/configured")))[0])

    async def note_configured(self) -> None:
        """Record that `delivery.paused` was applied to this database."""
        await self._session.fetch(statement("pauses/note_configured"))

    async def forget_configured(self) -> None:
        """Record that `delivery.paused` is not set."""
        await self._session.fetch(statement("pauses/forget_configured"))
