"""Sessions for whoever comes: what people ask for must not wait for one slow listing."""

from asyncio import LifoQueue
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import asyncpg

from dispatcher.store.session import Session, Transaction


class Pool:
    """Hands out its sessions, the last used one first. Who finds none waits for one."""

    def __init__(self, sessions: Iterable[Session]) -> None:
        self._free: LifoQueue[Session] = LifoQueue()
        for session in sessions:
            self._free.put_nowait(session)

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        """See Session.fetch."""
        async with self._one() as session:
            return await session.fetch(query, *args)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """See Session.transaction."""
        async with self._one() as session, session.transaction() as opened:
            yield opened

    @asynccontextmanager
    async def _one(self) -> AsyncIterator[Session]:
        session = await self._free.get()
        try:
            yield session
        finally:
            self._free.put_nowait(session)
