"""Day partitions of events and attempts."""

from typing import Literal

from dispatcher.store.session import Session
from dispatcher.store.statements import statement


class Partitions:
    def __init__(self, session: Session) -> None:
        self._session = session

    async def ensure(self, days_ahead: int) -> list[str]:
        """Make what is missing from today on; returns what was made."""
        rows = await self._session.fetch(statement("partitions/ensure"), days_ahead)
        made: list[str] = rows[0][0]
        return made

    async def drop_one(self, parent: Literal["events", "attempts"], keep: float) -> str | None:
        """Drop the oldest partition wholly older than `keep` seconds that nothing refers to."""
        rows = await self._session.fetch(statement("partitions/drop_one"), parent, keep)
        dropped: str | None = rows[0][0]
        return dropped

    async def forget_keys(self, below: int, most: int) -> int:
        """Idempotency keys live as long as their event: forget those of events below an id."""
        return len(await self._session.fetch(statement("partitions/forget_keys"), below, most))
