"""Ensure that one session migrates at a time, and name the session that it waits for."""

import asyncpg

from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement


class Migrator:
    """The claim of one session to migrate. It ends with the session.

    Use the connection that migrates.
    """

    def __init__(self, session: Queryable) -> None:
        self._session = session

    async def claim(self) -> bool:
        """Claim migrating for this session. Return False while another session holds the claim."""
        try:
            return bool(await self._session.fetch(statement("migrator/claim")))
        except asyncpg.LockNotAvailableError:
            return False

    async def release(self) -> None:
        """Release the claim, so that the next session can begin at once."""
        await self._session.fetch(statement("migrator/release"))

    async def holder(self) -> str:
        """Return a description of the session that holds the claim."""
        return await self.current() or "another session"

    async def is_visible(self) -> bool:
        """Return True if this session may see the session that migrates."""
        rows = await self._session.fetch(statement("migrator/is_visible"))
        return bool(rows[0]["visible"])

    async def current(self) -> str | None:
        """Return a description of the session that migrates now, None if there is none."""
        rows = await self._session.fetch(statement("migrator/current"))
        return _named(rows[0]) if rows else None

    async def blockers(self) -> str:
        """Return a description of the sessions that may block a migration, at most five."""
        rows = await self._session.fetch(statement("migrator/blockers"))
        return ", ".join(_named(row) for row in rows) or "a session that has ended since"


def _named(row: asyncpg.Record) -> str:
    known = (row["application"], row["role"] and f"role {row['role']}", row["state"])
    return f"pid {row['pid']} ({', '.join(text for text in known if text)})"
