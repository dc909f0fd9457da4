"""Inbox rows become deliveries: rows of a shard we own, handed straight to the sending side."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from time import monotonic
from uuid import UUID

from dispatcher import observe
from dispatcher.model import Delivery
from dispatcher.promise import PROMISE_MS, Promise
from dispatcher.shards import Lease
from dispatcher.store.inbox import FannedOut, Inbox
from dispatcher.store.session import StatementTimeout

MOST_DELIVERIES = 20_000
"""Deliveries a statement should make: the number of events is chosen so."""
MOST_EVENTS = 500
SLICE = 5_000
"""Deliveries a statement makes of an event that alone is too much for one."""
A_MOMENT = 0.1
"""Seconds of fanning out between two looks at the promise, which a long backlog must not outlast."""
WATERMARK_AGE = 60.0
SWEEP_EVERY = 10.0

NOTHING = FannedOut(0, None, 0, [], set())


class Fanout:
    """`admit(deliveries, parked)` takes what was made; `saturated(coming)` names the endpoints
    whose deliveries are better made parked when so many may come; `backlog` tells whether enough
    is waiting to be sent."""

    def __init__(
        self,
        inbox: Inbox,
        lease: Lease,
        *,
        admit: Callable[[Sequence[Delivery], set[UUID]], Awaitable[None]],
        saturated: Callable[[int], Sequence[UUID]],
        backlog: Callable[[], bool],
    ) -> None:
        self._inbox = inbox
        self._lease = lease
        self._admit = admit
        self._saturated = saturated
        self._backlog = backlog
        self._promise = Promise()
        self._turn = count()
        self._size = BatchSize()
        self._watermark = Watermark()
        self._behind = False

    async def look(self) -> float:
        """Fan out what is in the inbox; returns the seconds until the next look.

        Raises StoreUnavailable; what was fanned out before is in the table whatever happens.
        """
        picked, emptied = await self._drain()
        plan = self._promise.plan(monotonic(), picked, backlog=self._backlog())
        if plan.renew:
            await self._inbox.promise_polling(PROMISE_MS)
        return plan.wait if emptied else 0.0

    async def _drain(self) -> tuple[int, bool]:
        """Fan out for a moment: how many events, and whether the inbox was empty then."""
        picked, until = 0, monotonic() + A_MOMENT
        while self._lease.owned and monotonic() < until:
            limit = self._size.events
            done = await self._statement(limit)
            picked += done.picked
            self._behind = done.picked >= limit
            if done.picked < limit and not self._size.sliced:
                return picked, True
            await asyncio.sleep(0)
        return picked, not self._lease.owned

    async def _statement(self, limit: int) -> FannedOut:
        try:
            done = await self._fan_out(limit)
        except StatementTimeout as error:
            observe.fan_out_too_large(limit)
            if not self._size.too_large():
                for row in await self._inbox.quarantine("fan_out_failed", str(error)):
                    observe.quarantined(row["event_id"], "fan_out_failed")
            return NOTHING
        self._size.took(done.picked, done.made)
        self._watermark.seen(done.last_picked, monotonic())
        if done.picked or done.made:
            observe.fanned_out(done.picked, done.made)
        if done.made:
            await self._admit(done.deliveries, done.parked)
        return done

    async def _fan_out(self, limit: int) -> FannedOut:
        daemon, shards = self._lease.daemon, sorted(self._lease.owned)
        if daemon is None or not shards:
            return NOTHING
        shard = shards[next(self._turn) % len(shards)]
        if self._size.sliced:
            return await self._inbox.fan_out_slice(
                limit=SLICE, shard=shard, daemon=daemon, saturated=self._saturated(1)
            )
        newest = limit // 2 if self._behind else 0
        return await self._inbox.fan_out(
            limit=limit - newest,
            newest=newest,
            shard=shard,
            daemon=daemon,
            saturated=self._saturated(limit),
            above=self._watermark.above(monotonic()),
        )


class BatchSize:
    """How many events the next statement takes, so that it makes about MOST_DELIVERIES.

    Starts at one event and doubles, never beyond what the fan-out seen so far suggests; halves
    when a statement ran into its timeout. At one event and still too large: in slices.
    """

    def __init__(self) -> None:
        self.events = 8
        self.sliced = False
        self._per_event = 1.0

    def took(self, picked: int, made: int) -> None:
        if self.sliced:
            self.sliced = picked == 0 and made > 0
            return
        if not picked:
            return
        self._per_event = max(made / picked, self._per_event * 0.9, 1.0)
        most = max(1, min(MOST_EVENTS, int(MOST_DELIVERIES / self._per_event)))
        self.events = min(most, self.events * 2)

    def too_large(self) -> bool:
        """The statement timed out; False when nothing smaller is left to try."""
        if self.sliced:
            self.sliced = False
            return False
        if self.events == 1:
            self.sliced = True
        self.events = max(1, self.events // 2)
        return True


class Watermark:
    """Where to start reading the inbox: below are only dead index entries, and late commits.

    An id is drawn when its row is inserted, and may be committed much later: so the bound is the
    highest id taken a minute ago, and every ten seconds there is none.
    """

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = []
        self._above = 0
        self._swept_at = 0.0

    def seen(self, highest: int | None, now: float) -> None:
        if highest is not None and (not self._seen or now - self._seen[-1][0] >= 1.0):
            self._seen.append((now, highest))

    def above(self, now: float) -> int:
        if now - self._swept_at >= SWEEP_EVERY:
            self._swept_at = now
            return 0
        while self._seen and self._seen[0][0] <= now - WATERMARK_AGE:
            self._above = max(self._above, self._seen.pop(0)[1])
        return self._above
