"""The lease: which shards are ours, and whether we may send at this very moment.

A heartbeat every quarter of a second renews one row, and its answer carries everything a daemon
must know to go on: what it owns, whether somebody changed an endpoint or a delivery of ours, who
else lives. No send starts unless a heartbeat asked less than a second ago was answered and acted
on. Others take over from 1.2 s of silence if our session, and with it our advisory lock, is gone;
else when the lease of 10 s is over. So a late daemon has stopped before its successor starts.
"""

from collections.abc import Awaitable, Callable
from secrets import randbits
from time import monotonic

from dispatcher import observe
from dispatcher.clock import Clock
from dispatcher.endpoints import KnownEndpoints
from dispatcher.pending import Pending
from dispatcher.store.daemons import Daemons, Renewal

SHARDS = 64
HEARTBEAT = 0.25
CONFIRM = 0.02
"""After a change was acted on, the next heartbeat comes so soon: people wait for it to say so."""
CONFIDENCE = 1.0
"""How long an answered heartbeat entitles to start sends."""


class Lease:
    """`changed` is called after what we own has changed; `heed` acts on nudges."""

    def __init__(
        self,
        daemons: Daemons,
        pending: Pending,
        endpoints: KnownEndpoints,
        clock: Clock,
        *,
        changed: Callable[[], None],
        heed: Callable[[], Awaitable[None]],
    ) -> None:
        self._daemons = daemons
        self._pending = pending
        self._endpoints = endpoints
        self._clock = clock
        self._changed = changed
        self._heed = heed
        self.daemon: int | None = None
        self.owned: frozenset[int] = frozenset()
        self._confirmed_at = float("-inf")
        self._leaving: frozenset[int] = frozenset()
        self._left = False

    def __repr__(self) -> str:
        return f"<Lease {self.daemon}: {len(self.owned)} of {SHARDS} shards, valid {self.valid}>"

    @property
    def valid(self) -> bool:
        return monotonic() - self._confirmed_at < CONFIDENCE

    def covers(self, shard: int) -> bool:
        """Whether a delivery of this shard may be started now."""
        return self.valid and shard in self.owned

    def lost(self) -> None:
        """The session is gone, and the lock with it: nothing is ours until we join anew."""
        self.daemon = None
        self._confirmed_at = float("-inf")
        self._own(frozenset())

    async def beat(self) -> float:
        """One heartbeat; returns the seconds to the next."""
        daemon = self.daemon or await self._join()
        if daemon is None:
            return HEARTBEAT if self._left else 0.0
        asked_at = monotonic()
        renewal = await self._daemons.renew(daemon, self._endpoints.version)
        if renewal is None:
            self.lost()
            return 0.0
        self._clock.set(renewal.now, asked_at)
        news = renewal.version != self._endpoints.version
        if news and not await self._endpoints.refresh():
            return 0.0  # there is more to act on, but the lease must not end meanwhile
        if renewal.nudged:
            await self._heed()
        await self._endpoints.share_with(renewal.others)
        self._confirmed_at = asked_at
        await self._balance(daemon, renewal)
        return max(0.0, (CONFIRM if news else HEARTBEAT) - (monotonic() - asked_at))

    async def leave(self) -> None:
        """Hand everything over at once, so that others need not wait."""
        self._left = True
        if self.daemon is not None:
            await self._daemons.leave(self.daemon)
            self.lost()

    async def _join(self) -> int | None:
        """Our new name, unless we left for good or another holds the very lock that was drawn."""
        if self._left:
            return None
        drawn = randbits(62)
        self.daemon = drawn if await self._daemons.join(drawn, randbits(31)) else None
        return self.daemon

    async def _balance(self, daemon: int, renewal: Renewal) -> None:
        """Claim up to our fair share of the shards, or give up what is above it."""
        share = -(-SHARDS // (renewal.others + 1))
        shards = renewal.shards
        if len(shards) < share:
            shards |= await self._daemons.claim_shards(daemon, share - len(shards))
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
