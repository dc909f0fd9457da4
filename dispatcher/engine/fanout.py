"""Fan out inbox rows: make deliveries in an owned shard and give them to the deliverer."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from time import monotonic
from uuid import UUID

from dispatcher.core.model import Delivery
from dispatcher.engine.fanout_fairness import Turn, Turns
from dispatcher.engine.inbox_polling import PROMISE_MS, Promise
from dispatcher.engine.lease import Lease
from dispatcher.store.data_errors import describe, is_data_error
from dispatcher.store.inbox import FannedOut, Inbox
from dispatcher.store.session import StatementTimeout, StoreUnavailable
from dispatcher.telemetry import observe

MOST_DELIVERIES = 20_000
"""Most deliveries that one statement makes; it takes as many events as fit."""
MOST_EVENTS = 500
"""Most events that one statement takes."""
SLICE = 5_000
"""Deliveries per statement for an event that makes more than MOST_DELIVERIES alone."""
SMALLEST = 1 / 256
"""Smallest part of these numbers; statements that time out are made smaller down to it."""
A_MOMENT = 0.1
"""Longest pass in seconds. Otherwise the polling window would end during a long backlog."""

REFUSED_AT_ONCE = 20
"""Events quarantined in a row until the loop waits between them, up to two seconds. Otherwise a
fault elsewhere would quarantine the whole inbox before an operator can react."""

NOTHING = FannedOut(0, None, 0, [], set())


class Fanout:
    """The stage that fans out events.

    `admit(deliveries, parked)` takes the deliveries that were made. `saturated(coming)` returns
    the endpoints whose deliveries are made parked, as their queues have no room for `coming` more.
    `backlog` returns True if enough deliveries wait to be sent. `notified` is True if emitters
    notify an idle daemon.
    """

    def __init__(
        self,
        inbox: Inbox,
        lease: Lease,
        *,
        admit: Callable[[Sequence[Delivery], set[UUID]], Awaitable[None]],
        saturated: Callable[[int], Sequence[UUID]],
        backlog: Callable[[], bool],
        notified: bool = True,
    ) -> None:
        self._inbox = inbox
        self._lease = lease
        self._admit = admit
        self._saturated = saturated
        self._backlog = backlog
        self._promise = Promise(notified=notified)
        self._shard = count()
        self._size = Size()
        self._turns = Turns()
        self._in_succession = 0

    async def look(self) -> float:
        """Fan out events for one pass, and return the seconds to the next.

        Raises StoreUnavailable or StatementTimeout; earlier statements of the pass stay committed.
        """
        picked, emptied = await self._drain()
        plan = self._promise.plan(monotonic(), picked, backlog=self._backlog())
        if plan.renew:
            await self._inbox.promise_polling(PROMISE_MS)
        return plan.wait if emptied else 0.0

    async def _drain(self) -> tuple[int, bool]:
        """Fan out for at most A_MOMENT; return the number of events, and True if none are left."""
        picked, until = 0, monotonic() + A_MOMENT
        while self._lease.owned and monotonic() < until:
            await self._keep_mark()
            turn = self._turns.next(monotonic())
            taken, more = await self._statement(turn)
            picked += taken
            if not more and turn.everybodys and not self._turns.searching:
                return picked, True
            await asyncio.sleep(0)
        return picked, not self._lease.owned

    async def _keep_mark(self) -> None:
        """Move the mark in the database, or read it: rarely, and a timeout is no one's fault."""
        if due := self._turns.mark_due(monotonic()):
            try:
                self._turns.marked(await self._inbox.raise_mark(*due))
            except StatementTimeout:
                if not self._lease.valid:
                    raise

    async def _search(self, turn: Turn) -> None:
        """Look for late commits in a piece below the mark."""
        began = monotonic()
        try:
            first, _ = await self._inbox.first(above=turn.above, up_to=turn.up_to)
        except StatementTimeout:
            if not self._lease.valid:
                raise
            self._turns.search_timed_out()
        else:
            self._turns.searched(turn, first, monotonic() - began)

    async def _statement(self, turn: Turn) -> tuple[int, bool]:
        """How many events one statement took, and whether there may be more for this turn."""
        if turn.late:
            await self._search(turn)
            return 0, True
        events = self._size.of(MOST_EVENTS)
        try:
            done = await self._fan_out(turn, events)
        except StatementTimeout as error:
            if not self._lease.valid:  # heartbeats fail too, so no event is the cause
                raise
            await self._too_much(turn, events, error)
            return 0, True
        except Exception as error:
            if not is_data_error(error):
                raise
            await self._refused(turn, error)
            return 0, True
        self._size.fits()
        self._in_succession = 0
        if done.seen and not done.picked and not turn.wide:
            self._turns.widen(turn)
            return 0, True
        more = self._took(turn, events, done)
        if done.made:
            await self._admit(done.deliveries, done.parked)
        return done.picked, more

    async def _fan_out(self, turn: Turn, events: int) -> FannedOut:
        daemon, shards = self._lease.daemon, sorted(self._lease.owned)
        if daemon is None or not shards:
            return NOTHING
        shard = shards[next(self._shard) % len(shards)]
        if turn.wide:
            return await self._inbox.fan_out_slice(
                limit=self._size.of(SLICE),
                shard=shard,
                daemon=daemon,
                saturated=self._saturated(1),
                above=turn.above,
                without=turn.without,
                up_to=turn.up_to,
            )
        return await self._inbox.fan_out(
            limit=events,
            shard=shard,
            daemon=daemon,
            saturated=self._saturated(events),
            above=turn.above,
            without=turn.without,
            most=self._size.of(MOST_DELIVERIES),
            up_to=turn.up_to,
        )

    def _took(self, turn: Turn, events: int, done: FannedOut) -> bool:
        if done.picked or done.made:
            observe.fanned_out(done.picked, done.made)
        if turn.wide and (done.picked or not done.seen):
            self._turns.done(turn)
        more = done.picked < done.seen or done.seen == events or (turn.wide and done.seen > 0)
        self._turns.took(
            turn,
            last=done.last_picked if more else done.last_waiting or done.last_picked,
            more=more,
            crowding=done.crowding,
            now=monotonic(),
        )
        return more

    async def _too_much(self, turn: Turn, events: int, error: StatementTimeout) -> None:
        """Take less in the next statement. Only an event that was all it could take is put aside."""
        observe.fan_out_too_large(events)
        first = turn.up_to if turn.alone else await self._first(turn)
        if first is None or self._size.shrink():
            return
        if not turn.alone:
            self._turns.isolate(first)
        elif not turn.wide:
            self._turns.widen(turn)
        else:
            await self._quarantine(turn, error)

    async def _first(self, turn: Turn) -> int | None:
        """Look for the first event of a turn in a stretch of the inbox.

        Before it there may be more rows that were taken, but are kept for an old snapshot, than can be
        read in time; taking fewer events would be of no help. None: it is not in this stretch, or that
        was too long; the next look is in another.
        """
        up_to = self._turns.stretch(turn)
        try:
            first, looked = await self._inbox.first(
                above=turn.above, up_to=up_to, without=turn.without
            )
        except StatementTimeout:
            if not self._lease.valid:
                raise
            self._turns.stretch_timed_out()
            return None
        self._turns.pass_over(turn, looked if first is None else first - 1)
        return first

    async def _refused(self, turn: Turn, error: Exception) -> None:
        """Make statements smaller until one event is left that is refused, and quarantine it.

        Raises StoreUnavailable, so that the loop waits, after REFUSED_AT_ONCE events in a row.
        """
        if self._size.shrink():
            return
        if not turn.alone:
            first = await self._first(turn)
            if first is not None:
                self._turns.isolate(first)
            return
        await self._quarantine(turn, error)
        self._in_succession += 1
        if self._in_succession > REFUSED_AT_ONCE:
            raise StoreUnavailable(f"event after event is refused: {describe(error)}") from error

    async def _quarantine(self, turn: Turn, error: Exception) -> None:
        """Put the event aside; its environment's others wait for everybody else's."""
        crowding: tuple[str, ...] = ()
        for row in await self._inbox.quarantine("fan_out_failed", describe(error), turn.up_to):
            observe.quarantined(row["event_id"], "fan_out_failed")
            crowding = (row["environment_id"],)
        self._turns.took(turn, last=turn.up_to, more=True, crowding=crowding, now=monotonic())


class Size:
    """The size of the next statement, as a part of the usual numbers.

    A timeout divides it by four, a success doubles it.
    """

    def __init__(self) -> None:
        self._part = 1.0

    def of(self, number: int) -> int:
        """Return `number` scaled to the current size, at least 1."""
        return max(1, int(number * self._part))

    def fits(self) -> None:
        """Double the size after a success, up to the whole."""
        self._part = min(1.0, self._part * 2)

    def shrink(self) -> bool:
        """Divide the size by four; return False if it was the smallest already."""
        smaller = self._part > SMALLEST
        self._part = max(SMALLEST, self._part / 4)
        return smaller
