"""Create and drop the day partitions of events and attempts."""

from typing import Literal

from dispatcher.store.session import Session
from dispatcher.store.statements import statement


class Partitions:
    """The day partitions."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def ensure(self, days_ahead: int) -> list[str]:
        """Create the missing partitions from today on. Return their names."""
        rows = await self._session.fetch(statement("partitions/ensure"), days_ahead)
        made: list[str] = rows[0][0]
        return made

    async def drop_one(self, parent: Literal["events", "attempts"], keep: float) -> str | None:
        """Drop the oldest partition if it is older than `keep` seconds. Return its name.

        Return None if it was not dropped: also if pending rows refer to its events, or if its lock
        was not free in time.
        """
        rows = await self._session.fetch(statement("partitions/drop_one"), parent, keep)
        dropped: str | None = rows[0][0]
        return dropped

    async def prune_keys(self, below: int, limit: int) -> int:
        """Delete up to `limit` idempotency keys of events with ids below `below`.

        A key lives as long as its event. Return how many were deleted.
        """
        return len(await self._session.fetch(statement("partitions/prune_keys"), below, limit))
