"""Who migrates: one session at a time, and whom it waits for."""

import asyncpg

from dispatcher.store.session import Asked
from dispatcher.store.statements import statement


class Migrator:
    """The turn of one session, on the connection that migrates. The session's end ends its turn."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked

    async def claim(self) -> bool:
        """Return True once it is this session's turn; False while another session has it."""
        try:
            return bool(await self._asked.fetch(statement("migrator/claim")))
        except asyncpg.LockNotAvailableError:
            return False

    async def release(self) -> None:
        """End the turn, for the next one to begin at once."""
        await self._asked.fetch(statement("migrator/release"))

    async def holder(self) -> str:
        """Return who has the turn, in words."""
        rows = await self._asked.fetch(statement("migrator/holder"))
        return _named(rows[0]) if rows else "another session"

    async def blockers(self) -> str:
        """Return the sessions that a migration may wait for, at most five, in words."""
        rows = await self._asked.fetch(statement("migrator/blockers"))
        return ", ".join(_named(row) for row in rows) or "a session that has ended since"


def _named(row: asyncpg.Record) -> str:
    known = (row["application"], row["role"] and f"role {row['role']}", row["state"])
    return f"pid {row['pid']} ({', '.join(text for text in known if text)})"
