"""Where sending is paused. `environment_id` None stands for all environments together."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dispatcher.store.session import Asked
from dispatcher.store.statements import statement


class Pauses:
    def __init__(self, session: Asked) -> None:
        self._session = session

    async def pause(self, environment_id: str | None, version: int) -> bool:
        """False when it was paused. `version`: the one of this change, drawn in its transaction."""
        return bool(await self._session.fetch(statement("pauses/pause"), environment_id, version))

    async def resume(self, environment_id: str | None, version: int) -> bool:
        """False when it was not paused."""
        return bool(await self._session.fetch(statement("pauses/resume"), environment_id, version))

    async def standing(self, environment_id: str) -> Mapping[str, Any] | None:
        """`id name paused_at paused_by all_paused_at all_paused_by`; None when there is no such
        environment."""
        rows = await self._session.fetch(statement("pauses/standing"), environment_id)
        return dict(rows[0]) if rows else None

    async def since(
        self, environment_id: str | None
    ) -> tuple[datetime | None, datetime | None] | None:
        """Return when it was paused, and when all were; None when there is no such environment."""
        rows = await self._session.fetch(statement("pauses/since"), environment_id)
        return (rows[0]["paused_at"], rows[0]["all_paused_at"]) if rows else None

    async def current(self, most: int) -> Sequence[Mapping[str, Any]]:
        """Return `environment_id paused_at actor` of each pause: that of all first, `actor` None if
        the audit does not say who it was. At most `most` environments are named."""
        return [dict(row) for row in await self._session.fetch(statement("pauses/current"), most)]

    async def configured(self) -> Mapping[str, Any]:
        """Return `applied paused_at resumed_at resumed_by`: whether `delivery.paused` was applied to
        this very database, and what was done since. Until the transaction ends nobody else asks."""
        return dict((await self._session.fetch(statement("pauses/configured")))[0])

    async def note_configured(self) -> None:
        """Note that `delivery.paused` was applied to this very database."""
        await self._session.fetch(statement("pauses/note_configured"))

    async def forget_configured(self) -> None:
        """Note that `delivery.paused` is not set."""
        await self._session.fetch(statement("pauses/forget_configured"))
