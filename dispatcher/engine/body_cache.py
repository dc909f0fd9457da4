"""Cache the bodies to send; read missing ones together in one statement."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from dispatcher.core import payload
from dispatcher.core.model import Event
from dispatcher.engine.loop import BACKOFF_FIRST_SECONDS, BACKOFF_LIMIT_SECONDS
from dispatcher.store.data_errors import is_data_error
from dispatcher.store.events import Events

READ_AT_ONCE = 100
"""Events per statement: at most 25 MiB with the default limit of 256 KiB per event."""

OVERHEAD = 256
"""Bytes of memory per cached event besides its body. For small bodies it is the larger part."""


class UnreadableEventError(Exception):
    """The event is in the database, but its row cannot be read."""


class BodyCache:
    """A cache of at most `capacity` bytes; it drops the least recently used bodies first.

    `soon` iterates over the ids of events that are needed next: they are read ahead. Only the
    first ids are consumed.
    """

    def __init__(self, events: Events, *, capacity: int) -> None:
        self._events = events
        self._capacity = capacity
        self._kept: OrderedDict[int, Event] = OrderedDict()
        self._size = 0
        self._wanted: dict[int, asyncio.Future[Event | None]] = {}
        self._ahead: set[int] = set()
        self._under_way: set[int] = set()
        self._hits = 0
        self._reading: asyncio.Task[None] | None = None
        self._backoff = BACKOFF_FIRST_SECONDS

    def __repr__(self) -> str:
        return f"<BodyCache {len(self._kept)}, {self._size} of {self._capacity} bytes>"

    def get(self, event_id: int, soon: Iterable[int] = ()) -> Event | None:
        """Return the event if it is cached, None if not.

        After every 50 hits, missing events of `soon` are read ahead in the background.
        """
        event = self._kept.get(event_id)
        if event is not None:
            self._kept.move_to_end(event_id)
            self._hits += 1
            if self._hits * 2 >= READ_AT_ONCE:
                self._hits = 0
                self._read_along(soon, worth=self._far // 3)
        return event

    async def read(self, event_id: int, soon: Iterable[int] = ()) -> Event | None:
        """Read the event from the database, in one statement with other missing events.

        Return None if the event does not exist (any more). Raises UnreadableEventError,
        StoreUnavailable or StatementTimeout.
        """
        future = self._wanted.get(event_id)
        if future is None:
            future = self._wanted[event_id] = asyncio.get_running_loop().create_future()
        self._read_along(soon)
        return await asyncio.shield(future)

    @property
    def _far(self) -> int:
        """Return how many events to read ahead.

        The number covers the sends during one or two slow statements. With large events it is
        smaller, so that they fit into a quarter of the cache.
        """
        usual = self._size // max(1, len(self._kept)) or OVERHEAD
        return max(3, min(3 * READ_AT_ONCE, self._capacity // 4 // usual))

    def _read_along(self, soon: Iterable[int], *, worth: int = 1) -> None:
        """Start to read missing events, together with those of `soon` that are not cached.

        Read ahead only if at least `worth` events of `soon` are missing, as the cost is mostly
        that of a statement, not of its rows.
        """
        if not self._ahead:
            missing = [
                i
                for i in islice(soon, self._far)
                if i not in self._kept and i not in self._under_way
            ]
            if len(missing) >= worth:
                self._ahead.update(missing[:READ_AT_ONCE])
        if self._reading is None and (self._wanted or self._ahead):
            self._reading = asyncio.create_task(self._read_wanted())

    async def _read_wanted(self) -> None:
        while self._wanted or self._ahead:
            wanted = list(self._wanted)[:READ_AT_ONCE]
            ahead = islice(self._ahead, READ_AT_ONCE - len(wanted))
            self._under_way = {*wanted, *ahead}
            self._ahead.clear()
            try:
                rows = await self._events.with_ids(self._under_way)
                found = {row["id"]: self._keep(_event(row)) for row in rows}
            except Exception as error:  # noqa: BLE001 - waiting callers must get every error
                if is_data_error(error):
                    await self._read_apart(wanted)
                    continue
                # Fail the callers after the pause. Otherwise they would ask again at once.
                await asyncio.sleep(self._backoff)
                self._backoff = min(BACKOFF_LIMIT_SECONDS, self._backoff * 2)
                self._fail(wanted, error)
                continue
            self._backoff = BACKOFF_FIRST_SECONDS
            for event_id in {*wanted, *found} & self._wanted.keys():
                self._wanted.pop(event_id).set_result(found.get(event_id))
        self._reading = None
        self._under_way = set()

    async def _read_apart(self, wanted: list[int]) -> None:
        """Read events one by one, after one of them made the common statement fail.

        Otherwise one unreadable event would block the others.
        """
        for event_id in wanted:
            try:
                rows = await self._events.with_ids([event_id])
                found = [self._keep(_event(row)) for row in rows]
            except Exception as error:  # noqa: BLE001 - waiting callers must get every error
                unreadable = is_data_error(error)
                failure = UnreadableEventError(type(error).__name__) if unreadable else error
                self._fail([event_id], failure)
            else:
                self._wanted.pop(event_id).set_result(found[0] if found else None)

    def _fail(self, ids: list[int], error: Exception) -> None:
        for event_id in ids:
            future = self._wanted.pop(event_id)
            future.set_exception(error)
            future.exception()  # otherwise asyncio warns if the caller was cancelled

    def _keep(self, event: Event) -> Event:
        before = self._kept.pop(event.id, None)
        self._kept[event.id] = event
        self._size += _cost(event) - (_cost(before) if before else 0)
        while self._size > self._capacity and len(self._kept) > 1:
            self._size -= _cost(self._kept.popitem(last=False)[1])
        return event


def _cost(event: Event) -> int:
    return len(event.body) + OVERHEAD


def _event(row: Mapping[str, Any]) -> Event:
    body = payload.build(row["id"], row["type"], row["environment_id"], row["data"])
    return Event(row["id"], row["type"], body)
