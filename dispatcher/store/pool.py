"""Share the sessions for requests of people fairly between environments."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Protocol, runtime_checkable

import asyncpg

from dispatcher.shared_slots import BusyError, SharedSlots
from dispatcher.store.errors import StoreError
from dispatcher.store.session import Queryable, Session, Transaction

WAIT_SECONDS = 2.0
"""How long a request waits for a connection. After that the client should learn that we are busy.
"""
WAITING_LIMIT = 64
WAITING_OF_ONE_LIMIT = 16
"""How many requests may wait for a connection: in all, and of one environment."""


class PoolBusyError(StoreError):
    """Every connection is taken. No statement was sent to the database."""


@runtime_checkable
class Opening(Queryable, Protocol):
    """An object that can also open a transaction: a session or a pool."""

    @property
    def transaction(self) -> Callable[[], AbstractAsyncContextManager[Transaction]]: ...


class Pool:
    """A pool of sessions. Of the free sessions it hands out the one that was used most recently.

    One fairness key holds at most half of the sessions, but may always hold one. Other callers wait
    at most `wait_seconds`, and the keys are served in turn. The methods raise what a session
    raises, and PoolBusyError.
    """

    def __init__(self, sessions: Sequence[Session], *, wait_seconds: float = WAIT_SECONDS) -> None:
        self._free = list(sessions)
        self._slots = SharedSlots(
            len(self._free),
            slots_of_one=max(1, len(self._free) // 2),
            waiting=WAITING_LIMIT,
            waiting_of_one=WAITING_OF_ONE_LIMIT,
            wait_seconds=wait_seconds,
        )

    def of(self, key: str) -> "PoolShare":
        """Return the pool for the use of a fairness key, such as an environment."""
        return PoolShare(self, key)

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        """Return the rows of one statement. See Session.fetch."""
        return await self.of("").fetch(query, *args)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Open a transaction. See Session.transaction."""
        async with self.of("").transaction() as opened:
            yield opened

    @asynccontextmanager
    async def session(self, key: str) -> AsyncIterator[Session]:
        """Hold one session for `key`. Raise PoolBusyError if none is free in time."""
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self._slots.hold(key))
            except BusyError as error:
                raise PoolBusyError(f"all connections for requests are in use: {error}") from None
            session = self._free.pop()
            session.drop_closed()
            try:
                yield session
            finally:
                self._free.append(session)


class PoolShare:
    """The part of a pool that one environment may use."""

    def __init__(self, pool: Pool, key: str) -> None:
        self._pool = pool
        self.key = key

    def of(self, key: str) -> "PoolShare":
        """Return the pool for the use of another fairness key. See Pool.of."""
        return self._pool.of(key)

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        """Return the rows of one statement. See Session.fetch."""
        async with self._pool.session(self.key) as session:
            return await session.fetch(query, *args)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Open a transaction. See Session.transaction."""
        async with self._pool.session(self.key) as session, session.transaction() as opened:
            yield opened
