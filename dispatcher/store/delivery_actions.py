"""What people do to a single delivery."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from dispatcher.store.session import Asked
from dispatcher.store.statements import statement


class Resends:
    """Ask within a transaction, after `lock`."""

    def __init__(self, session: Asked) -> None:
        self._session = session

    async def lock(self, delivery_id: int) -> None:
        """Until the end of the transaction nobody else changes it so."""
        await self._session.fetch(statement("delivery_actions/lock"), delivery_id)

    async def look(self, delivery_id: int, environment_id: str) -> Mapping[str, Any] | None:
        """`state` (PENDING, OWED: on its way to be pending again, ENDED), `event_id type
        endpoint_id attempt` (how many there were), `active deleted` of its endpoint, `event_kept`,
        `unheeded`: a daemon may still hold it as it was before it was changed."""
        rows = await self._session.fetch(
            statement("delivery_actions/look"), delivery_id, environment_id
        )
        return dict(rows[0]) if rows else None

    async def expedite(self, delivery_id: int) -> bool:
        """Make it due now; False when it is not pending."""
        return bool(await self._session.fetch(statement("delivery_actions/expedite"), delivery_id))

    async def owe(
        self,
        delivery_id: int,
        *,
        event_id: int,
        endpoint_id: UUID,
        environment_id: str,
        type_: str,
        attempts: int,
    ) -> bool:
        """Make one that ended pending again, after so many attempts; False when it is already."""
        rows = await self._session.fetch(
            statement("delivery_actions/owe"),
            delivery_id,
            event_id,
            endpoint_id,
            environment_id,
            type_,
            attempts,
        )
        return bool(rows)

    async def cancel(self, delivery_id: int, error: str) -> bool:
        """End it; False when it is not pending."""
        return bool(
            await self._session.fetch(statement("delivery_actions/cancel"), delivery_id, error)
        )
