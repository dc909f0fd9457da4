"""Sessions for what people ask for, shared out fairly between environments."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Protocol

import asyncpg

from dispatcher.store.fair_slots import BusyError, FairSlots
from dispatcher.store.session import Asked, Session, StoreUnavailable, Transaction

WAIT_SECONDS = 2.0
"""A request waits no longer for a connection: after it the client should hear that we are busy."""
WAITING = 64
WAITING_OF_ONE = 16
"""Requests that may wait for a connection: all together, and those of one environment."""


class PoolBusyError(StoreUnavailable):
    """Every connection is taken. Nothing was asked of the database."""


class Opening(Asked, Protocol):
    """What can also open a transaction: a session, or a pool of them."""

    @property
    def transaction(self) -> Callable[[], AbstractAsyncContextManager[Transaction]]: ...


class Pool:
    """Hands out its sessions, the last used one first.

    One environment holds at most half of them. Those who find none wait, at most `WAIT_SECONDS`,
    and are served environment by environment. Raises PoolBusyError besides what a session does.
    """

    def __init__(self, sessions: Sequence[Session], *, wait_seconds: float = WAIT_SECONDS) -> None:
        self._free = list(sessions)
        self._slots = FairSlots(
            len(self._free),
            share=max(1, len(self._free) // 2),
            waiting=WAITING,
            waiting_of_one=WAITING_OF_ONE,
            wait_seconds=wait_seconds,
        )

    def of(self, key: str) -> "PoolShare":
        """Return the pool as `key`, such as an environment, may use it."""
        return PoolShare(self, key)

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        """See Session.fetch."""
        return await self.of("").fetch(query, *args)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """See Session.transaction."""
        async with self.of("").transaction() as opened:
            yield opened

    @asynccontextmanager
    async def session(self, key: str) -> AsyncIterator[Session]:
        """Hold one session for `key`."""
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self._slots.held(key))
            except BusyError as error:
                raise PoolBusyError(f"all connections for requests are in use: {error}") from None
            session = self._free.pop()
            try:
                yield session
            finally:
                self._free.append(session)


class PoolShare:
    """A pool, as one environment uses it."""

    def __init__(self, pool: Pool, key: str) -> None:
        self._pool = pool
        self._key = key

    def of(self, key: str) -> "PoolShare":
        """See Pool.of."""
        return self._pool.of(key)

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        """See Session.fetch."""
        async with self._pool.session(self._key) as session:
            return await session.fetch(query, *args)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """See Session.transaction."""
        async with self._pool.session(self._key) as session, session.transaction() as opened:
            yield opened
