"""Where sending is paused. `environment_id` None stands for all environments together."""

from collections.abc import Mapping
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

    async def since(self, environment_id: str | None) -> tuple[datetime | None] | None:
        """When it was paused, in a tuple; None when there is no such environment."""
        rows = await self._session.fetch(statement("pauses/since"), environment_id)
        return (rows[0]["paused_at"],) if rows else None
