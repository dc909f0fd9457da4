"""Cache the bodies to send; read missing ones together in one statement."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from uuid import UUID

from dispatcher.core import payload
from dispatcher.core.model import Event
from dispatcher.engine.batch_size import BatchSize
from dispatcher.engine.stages.loop import BACKOFF_FIRST_SECONDS, BACKOFF_LIMIT_SECONDS
from dispatcher.store.data_errors import is_data_error
from dispatcher.store.errors import StatementTimeoutError
from dispatcher.store.queries.events import Events, EventToSendRow
from dispatcher.store.queries.inbox import SmallEvent

BODY_CACHE_LIMIT_BYTES = 32 * 2**20
"""Most bytes of cached events in a daemon, each with EVENT_OVERHEAD_BYTES."""
EVENTS_LIMIT = 100
"""Events per statement."""
READ_LIMIT_BYTES = 16 * 2**20
"""Most data per statement; the last event may exceed it. The next statement reads the others."""
CHECK_HITS = EVENTS_LIMIT // 2
"""Hits until missing events are looked for again; more if none of the next ones was missing."""
EVENT_OVERHEAD_BYTES = 256
"""Memory per cached event besides its body. For small bodies it is the larger part."""


class UnreadableEventError(Exception):
    """The event is in the database, but its row cannot be read."""


class BodyCache:
    """A cache of at most `capacity` bytes; it drops the least recently used bodies first.

    `next_events` returns the ids of the events that an endpoint needs next: they are read ahead.
    Only the first ids are consumed.
    """

    def __init__(
        self, events: Events, next_events: Callable[[UUID], Iterable[int]], *, capacity: int
    ) -> None:
        self._events = events
        self._next_events = next_events
        self._capacity = capacity
        self._cached: OrderedDict[int, Event] = OrderedDict()
        self._size = 0
        # Events that callers wait for, events to read ahead, and the ids in the current statement.
        self._awaited: dict[int, asyncio.Future[Event | None]] = {}
        self._ahead: set[int] = set()
        self._in_statement: set[int] = set()
        self._hits_to_check = CHECK_HITS
        self._batch_size = BatchSize()
        self._reader: asyncio.Task[None] | None = None
        self._backoff = BACKOFF_FIRST_SECONDS

    def __repr__(self) -> str:
        return f"<BodyCache {len(self._cached)}, {self._size} of {self._capacity} bytes>"

    def get(self, event_id: int, endpoint_id: UUID) -> Event | None:
        """Return the event if it is cached, None if not.

        From time to time, events that the endpoint needs next are read ahead in the background.
        """
        event = self._cached.get(event_id)
        if event is not None:
            self._cached.move_to_end(event_id)
            self._hits_to_check -= 1
            if self._hits_to_check <= 0:
                self._start_reading(endpoint_id, at_least=self._read_ahead_limit // 3)
        return event

    def add(self, events: Sequence[SmallEvent]) -> None:
        """Cache events that are needed soon."""
        for number, type_, environment_id, data in events:
            try:
                body = payload.build(number, type_, environment_id, data.decode())
            except ValueError:
                continue  # `read` finds what is wrong with it
            self._put(Event(number, type_, body))

    async def read(self, event_id: int, endpoint_id: UUID) -> Event | None:
        """Read the event from the database, in one statement with other missing events.

        Return None if the event does not exist (any more). Raise UnreadableEventError,
        StoreError or StatementTimeoutError.
        """
        future = self._awaited.get(event_id)
        if future is None:
            future = self._awaited[event_id] = asyncio.get_running_loop().create_future()
        self._start_reading(endpoint_id)
        return await asyncio.shield(future)

    @property
    def _read_ahead_limit(self) -> int:
        """Return how many events to read ahead.

        The number covers the sends during one or two slow statements. With large events it is
        smaller, so that they fit into a quarter of the cache.
        """
        mean_size = self._size // max(1, len(self._cached)) or EVENT_OVERHEAD_BYTES
        return max(3, min(3 * EVENTS_LIMIT, self._capacity // 4 // mean_size))

    def _start_reading(self, endpoint_id: UUID, *, at_least: int = 1) -> None:
        """Start to read awaited events, together with the next ones of the endpoint.

        Read ahead only if at least `at_least` of these are missing, as the cost is mostly that of a
        statement, not of its rows.
        """
        self._hits_to_check = CHECK_HITS
        if not self._ahead:
            checked = list(islice(self._next_events(endpoint_id), self._read_ahead_limit))
            missing = [
                event_id
                for event_id in checked
                if event_id not in self._cached and event_id not in self._in_statement
            ]
            if not missing:
                self._hits_to_check = max(CHECK_HITS, len(checked))
            if len(missing) >= at_least:
                self._ahead.update(missing[:EVENTS_LIMIT])
        if self._reader is None and (self._awaited or self._ahead):
            self._reader = asyncio.create_task(self._read_missing())

    async def _read_missing(self) -> None:
        while self._awaited or self._ahead:
            limit = self._batch_size.scale(EVENTS_LIMIT)
            awaited = list(self._awaited)[:limit]
            ahead = islice(self._ahead, limit - len(awaited))
            self._in_statement = {*awaited, *ahead}
            self._ahead.clear()
            try:
                rows = await self._events.to_send(self._in_statement, READ_LIMIT_BYTES)
                events = {row["id"]: self._event(row) for row in rows}
            except StatementTimeoutError as error:
                if not self._batch_size.shrink():
                    self._fail(awaited, error)
            except Exception as error:  # noqa: BLE001 - waiting callers must get every error
                if is_data_error(error):
                    await self._read_one_by_one(awaited)
                    continue
                # Fail the callers after the pause. Otherwise they would ask again at once.
                await asyncio.sleep(self._backoff)
                self._backoff = min(BACKOFF_LIMIT_SECONDS, self._backoff * 2)
                self._fail(awaited, error)
            else:
                self._backoff = BACKOFF_FIRST_SECONDS
                self._batch_size.grow()
                self._answer(awaited, events)
        self._reader = None
        self._in_statement = set()

    async def _read_one_by_one(self, event_ids: list[int]) -> None:
        """Read each event in its own statement, after one of them made the common one fail.

        Otherwise one unreadable event would block the others.
        """
        for event_id in event_ids:
            try:
                rows = await self._events.to_send([event_id], READ_LIMIT_BYTES)
                events = [self._event(row) for row in rows]
            except Exception as error:  # noqa: BLE001 - waiting callers must get every error
                unreadable = is_data_error(error)
                failure = UnreadableEventError(type(error).__name__) if unreadable else error
                self._fail([event_id], failure)
            else:
                self._awaited.pop(event_id).set_result(events[0] if events else None)

    def _answer(self, awaited: Iterable[int], events: Mapping[int, Event | None]) -> None:
        """Answer the callers whose event was read or does not exist."""
        left_out = {event_id for event_id, event in events.items() if event is None}
        for event_id in ({*awaited, *events} - left_out) & self._awaited.keys():
            self._awaited.pop(event_id).set_result(events.get(event_id))

    def _fail(self, event_ids: list[int], error: Exception) -> None:
        for event_id in event_ids:
            future = self._awaited.pop(event_id)
            future.set_exception(error)
            future.exception()  # Otherwise asyncio warns if the caller was cancelled.

    def _event(self, row: EventToSendRow) -> Event | None:
        """Cache the event of a row, and return it; None if its data was left out."""
        data = row["data"]
        if data is None:
            return None
        body = payload.build(row["id"], row["type"], row["environment_id"], data)
        return self._put(Event(row["id"], row["type"], body))

    def _put(self, event: Event) -> Event:
        """Cache the event, drop others if the cache is too large, and return the event."""
        if event.id not in self._cached:
            self._cached[event.id] = event
            self._size += _size(event)
        while self._size > self._capacity and len(self._cached) > 1:
            self._size -= _size(self._cached.popitem(last=False)[1])
        return event


def _size(event: Event) -> int:
    return len(event.body) + EVENT_OVERHEAD_BYTES
