"""Find the environment that owns an object by the object's id alone."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from dispatcher.store.queries.history import History
from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement


class Owners:
    """The environments of objects. Each method returns None if there is no such object."""

    def __init__(self, session: Queryable) -> None:
        self._session = session
        self._history = History(session)

    async def of_event(self, event_id: int) -> str | None:
        """Return the environment of an event."""
        return _environment(await self._session.fetch(statement("owners/of_event"), event_id))

    async def of_delivery(self, delivery_id: int) -> str | None:
        """Return the environment of a delivery, pending or ended."""
        for above, until in await self._history.spans(delivery_id):
            rows = await self._session.fetch(
                statement("owners/of_delivery"), delivery_id, above, until
            )
            if rows:
                return _environment(rows)
        return None

    async def of_webhook(self, webhook_id: UUID) -> str | None:
        """Return the environment of a webhook, also of a deleted one."""
        return _environment(await self._session.fetch(statement("owners/of_webhook"), webhook_id))


def _environment(rows: Sequence[asyncpg.Record]) -> str | None:
    return rows[0]["environment_id"] if rows else None
