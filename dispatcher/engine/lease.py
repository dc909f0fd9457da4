"""The lease: which shards are ours, and whether we may send at this very moment.

A heartbeat every quarter of a second renews one row, and its answer carries everything a daemon
must know to go on: what it owns, whether somebody changed an endpoint or a delivery of ours, who
else lives. No send starts unless a heartbeat asked less than a second ago was answered and acted
on. Others take over from 1.2 s of silence if the server process of our session is gone, else when
the lease of 10 s is over. So a late daemon has stopped before its successor starts.
"""

from collections.abc import Awaitable, Callable, Collection
from secrets import randbits

from dispatcher.core.model import SetBack
from dispatcher.engine.clock import STEP_SECONDS, Clock, steady
from dispatcher.engine.delivery_buffer import Pending
from dispatcher.engine.endpoint_cache import KnownEndpoints
from dispatcher.engine.neighbours import Neighbours
from dispatcher.store.daemons import Claimed, Daemons, Renewal
from dispatcher.telemetry import observe

SHARDS = 64
HEARTBEAT = 0.25
CONFIRM = 0.02
"""After a change was acted on, the next heartbeat comes so soon: people wait for it to say so."""
CONFIDENCE = 1.0
"""How long an answered heartbeat entitles to start sends."""


class Lease:
    """`changed` is called after what we own has changed; `heed` acts on nudges; `set_back` takes note
    that rows of shards hold times of a clock that was set back."""

    def __init__(
        self,
        daemons: Daemons,
        pending: Pending,
        endpoints: KnownEndpoints,
        clock: Clock,
        *,
        changed: Callable[[], None],
        heed: Callable[[], Awaitable[None]],
        set_back: Callable[[SetBack], None],
    ) -> None:
        self._daemons = daemons
        self._pending = pending
        self._endpoints = endpoints
        self._clock = clock
        self._changed = changed
        self._heed = heed
        self._set_back = set_back
        self._neighbours = Neighbours()
        self.daemon: int | None = None
        self._before: int | None = None
        self._drawn: int | None = None
        self.owned: frozenset[int] = frozenset()
        self._confirmed_at = float("-inf")
        self._leaving: frozenset[int] = frozenset()
        self._left = False

    def __repr__(self) -> str:
        return f"<Lease {self.daemon}: {len(self.owned)} of {SHARDS} shards, valid {self.valid}>"

    @property
    def valid(self) -> bool:
        return steady() - self._confirmed_at < CONFIDENCE

    def covers(self, shard: int) -> bool:
        """Whether a delivery of this shard may be started now."""
        return self.valid and shard in self.owned

    def lost(self) -> None:
        """The session is gone, and others may take over: nothing is ours until we join again."""
        self._before = self.daemon or self._before
        self.daemon = None
        self._confirmed_at = float("-inf")
        self._own(frozenset())

    async def beat(self) -> float:
        """One heartbeat; returns the seconds to the next."""
        if self._left:
            return HEARTBEAT
        daemon = self.daemon or await self._join()
        asked_at = steady()
        renewal = await self._daemons.renew(daemon, self._endpoints.version)
        if renewal is None:
            self.lost()
            return 0.0
        self._neighbours.look(renewal.others, steady())
        self._note_step(renewal, self._clock.set(renewal.now, asked_at))
        news = renewal.version != self._endpoints.version
        if news and not await self._endpoints.refresh():
            return 0.0  # there is more to act on, but the lease must not end meanwhile
        if renewal.nudged:
            await self._heed()
        others = self._neighbours.sending(steady())
        await self._endpoints.share_with(others)
        self._confirmed_at = asked_at
        await self._balance(daemon, renewal, others)
        now = steady()
        wait = (CONFIRM if news else HEARTBEAT) - (now - asked_at)
        return max(0.0, min(wait, self._neighbours.next_change(now)))

    async def leave(self) -> None:
        """Hand everything over at once, so that others need not wait."""
        self._left = True
        if self.daemon is not None:
            await self._daemons.leave(self.daemon)
            self.lost()

    async def _join(self) -> int:
        """Enter under a new name, which inherits what our last one owned."""
        if (
            self._drawn is None
        ):  # else the last try may have entered it, and we never read the answer
            self._drawn = randbits(62)
        await self._daemons.join(self._drawn, self._before)
        self.daemon = joined = self._drawn
        self._drawn = self._before = None
        return joined

    def _note_step(self, renewal: Renewal, step: float) -> None:
        if step:
            observe.database_clock_stepped(step)
        if step < 0:
            self._pending.set_back(-step)
            self._set_back(SetBack(-step, renewal.shards, renewal.horizon))

    def _note_claimed(self, claimed: Collection[Claimed], horizon: str) -> None:
        """Owners last heard of in the future died before they noticed that the clock was set back."""
        ages: dict[float, set[int]] = {}
        for shard, age in claimed:
            if age is not None and age <= -STEP_SECONDS:
                ages.setdefault(age, set()).add(shard)
        for age, shards in ages.items():
            observe.database_clock_stepped(age)
            self._set_back(SetBack(-age, frozenset(shards), horizon))

    async def _balance(self, daemon: int, renewal: Renewal, others: int) -> None:
        """Claim up to our fair share of the shards, or give up what is above it."""
        share = -(-SHARDS // (others + 1))
        shards = renewal.shards
        if len(shards) < share:
            silent = self._neighbours.silent(steady())
            claimed = await self._daemons.claim_shards(daemon, share - len(shards), silent)
            self._note_claimed(claimed, renewal.horizon)
            shards |= {c.shard for c in claimed}
        elif len(shards) > share and not self._leaving:
            self._leaving = frozenset(sorted(shards)[share:])
        self._leaving &= shards
        self._own(shards - self._leaving)
        if idle := self._idle(self._leaving):
            await self._daemons.release_shards(daemon, idle)
            self._leaving -= idle

    def _idle(self, shards: frozenset[int]) -> frozenset[int]:
        """Those of which nothing is in flight or being recorded any more."""
        return shards - self._pending.held_by_shard().keys() if shards else shards

    def _own(self, shards: frozenset[int]) -> None:
        if shards != self.owned:
            self.owned = shards
            self._pending.own(shards)
            observe.shards_changed(self.daemon, len(shards))
            self._changed()
