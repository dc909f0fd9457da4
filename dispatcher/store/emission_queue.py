"""Insert the events of requests that arrive at the same time in one statement.

A statement and its commit cost as much as many rows. While one statement of an environment runs,
the requests that arrive wait, and the next statement inserts the events of all of them.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from time import monotonic
from typing import NamedTuple

from dispatcher.store.data_errors import is_data_error
from dispatcher.store.errors import TransactionConflictError
from dispatcher.store.pool import PoolBusyError, PoolShare
from dispatcher.store.queries.events import (
    EmittedRows,
    EventRejectedError,
    Events,
    NewEventRow,
    UnknownEnvironmentError,
)

STATEMENT_LIMIT_EVENTS = 1_000
STATEMENT_LIMIT_CHARACTERS = 2**20
"""Limits of one statement, so that it takes milliseconds. A larger request has its own
statement."""
WAITING_LIMIT = 512
"""Most requests of one lane that wait: as many as the admin port has connections by default."""
SEPARATE_SECONDS = 2.0
"""After a wait for a key in vain, how long the requests of one statement are repeated, each on its
own."""
KEYS_HELD = (
    "earlier requests waited too long for idempotency keys that open transactions hold: try again"
)
SEPARATE_LOCK_MS = 20
"""How long each of them waits for a key. The statement of all of them has waited long already."""


class _Emission(NamedTuple):
    """The events of one request. `size` is the length of their data in characters."""

    rows: Sequence[NewEventRow]
    size: int
    result: "asyncio.Future[EmittedRows]"


class _Lane:
    """The requests of one environment that wait, with the task that inserts their events.

    For each fairness key an environment has two lanes: one for requests with idempotency keys, and
    one for requests without.
    """

    def __init__(self) -> None:
        self.waiting: deque[_Emission] = deque()
        self.task: asyncio.Task[None] | None = None

    def take(self) -> list[_Emission]:
        """Take the requests for the next statement: the first, and more within the limits.

        Requests whose callers have given up are removed, and are not in the returned list. So it
        may be empty.
        """
        taken: list[_Emission] = []
        number = size = 0
        while self.waiting:
            number += len(self.waiting[0].rows)
            size += self.waiting[0].size
            if taken and (number > STATEMENT_LIMIT_EVENTS or size > STATEMENT_LIMIT_CHARACTERS):
                break
            taken.append(self.waiting.popleft())
        return [emission for emission in taken if not emission.result.done()]

    def forget(self, result: "asyncio.Future[EmittedRows]") -> None:
        """Remove the request of this result, if it waits, to let another have its place."""
        kept = [emission for emission in self.waiting if emission.result is not result]
        self.waiting = deque(kept)


class EmissionQueue:
    """The events that wait to be inserted, by environment.

    Requests with idempotency keys have statements of their own. Otherwise an open transaction of a
    producer that uses the same key would hold up requests without keys too.
    """

    def __init__(self) -> None:
        self._lanes: dict[tuple[str, str, bool], _Lane] = {}

    async def emit(
        self, pool: PoolShare, environment_id: str, rows: Sequence[NewEventRow]
    ) -> EmittedRows:
        """Insert the events of one request, all or none.

        Raise EventRejectedError if the database refuses one of them, and PoolBusyError if too many
        requests wait.
        """
        has_keys = any(row.key is not None for row in rows)
        place = (pool.key, environment_id, has_keys)
        lane = self._lanes.setdefault(place, _Lane())
        if len(lane.waiting) >= WAITING_LIMIT:
            raise PoolBusyError("too many events wait to be inserted")
        result: asyncio.Future[EmittedRows] = asyncio.get_running_loop().create_future()
        lane.waiting.append(_Emission(rows, sum(len(row.data) for row in rows), result))
        if lane.task is None:
            lane.task = asyncio.create_task(self._run(place, lane, pool), name="emit")
        try:
            return await result
        except asyncio.CancelledError:
            lane.forget(result)
            raise

    async def _run(self, place: tuple[str, str, bool], lane: _Lane, pool: PoolShare) -> None:
        """Insert until no request waits."""
        together: Sequence[_Emission] = ()
        try:
            while lane.waiting:
                if together := lane.take():
                    await _insert(pool, place[1], together)
        finally:
            lane.task = None
            del self._lanes[place]
            # A result is missing only if this task was cancelled. Cancel the result too. Otherwise
            # its caller would wait without end.
            for emission in (*together, *lane.waiting):
                emission.result.cancel()


async def _insert(pool: PoolShare, environment_id: str, together: Sequence[_Emission]) -> None:
    """Insert the events of several requests in one statement, and give each its result.

    If the database refuses them, insert each half alone, until one refused request is left. If
    another transaction holds a key, insert those of each request alone. `bisect` knows no such
    keys, and raises errors that here are the result of a request.
    """
    try:
        emitted = await _emit(Events(pool), environment_id, together)
    except Exception as error:  # noqa: BLE001 - it is raised by each request
        if len(together) > 1 and _is_of_one(error):
            half = len(together) // 2
            await _insert(pool, environment_id, together[:half])
            await _insert(pool, environment_id, together[half:])
        elif len(together) > 1 and isinstance(error, TransactionConflictError):
            await _insert_separately(pool, environment_id, together)
        else:
            _fail(together, error)
    else:
        _share_out(together, emitted)


async def _insert_separately(
    pool: PoolShare, environment_id: str, together: Sequence[_Emission]
) -> None:
    """Insert the events of each request alone, and wait for its keys only for a moment."""
    until = monotonic() + SEPARATE_SECONDS
    for place, emission in enumerate(together):
        if emission.result.done():  # its caller has given up
            continue
        if monotonic() >= until:
            _fail(together[place:], TransactionConflictError(KEYS_HELD))
            return
        try:
            async with pool.transaction() as opened:
                events = Events(opened)
                await events.limit_lock_wait(SEPARATE_LOCK_MS)
                emitted = await _emit(events, environment_id, [emission])
        except Exception as error:  # noqa: BLE001 - it is raised by the request
            _fail([emission], error)
        else:
            _share_out([emission], emitted)


async def _emit(events: Events, environment_id: str, together: Sequence[_Emission]) -> EmittedRows:
    rows = [row for emission in together for row in emission.rows]
    return await events.emit_many(environment_id, rows)


def _is_of_one(error: Exception) -> bool:
    """Return True if nothing was inserted because of the events of one request."""
    if isinstance(error, UnknownEnvironmentError):
        return False
    return isinstance(error, EventRejectedError) or is_data_error(error)


def _fail(together: Sequence[_Emission], error: Exception) -> None:
    for emission in together:
        if not emission.result.done():
            emission.result.set_exception(error)


def _share_out(together: Sequence[_Emission], emitted: EmittedRows) -> None:
    start = 0
    for emission in together:
        end = start + len(emission.rows)
        if not emission.result.done():
            ids, earlier = emitted.ids[start:end], emitted.earlier[start:end]
            emission.result.set_result(EmittedRows(ids, earlier, emitted.enforced))
        start = end
