"""Hold the lease: which shards this daemon owns, and whether it may send now.

A heartbeat every quarter of a second renews one row. Its answer has all that a daemon must know to
go on: its shards, whether an endpoint or a delivery was changed, and the other daemons. A send
starts only if a heartbeat sent less than a second ago was answered, and its changes applied. Other
daemons take over the shards of a silent one: after 1.2 s if the server process of its session is
gone, else after the lease of 10 s. So a late daemon has stopped before its successor starts. A
daemon that drains has no share: it releases each shard as soon as nothing of it is under way. A
shard of which rows are being moved after a clock step is released when they are moved. Its next
owner does not know of the step.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from secrets import randbits

from dispatcher.core.heartbeats import VALID_SECONDS
from dispatcher.core.model import ClockSetBack, Delivery
from dispatcher.engine.buffer.delivery_buffer import DeliveryBuffer
from dispatcher.engine.clock import CLOCK_STEP_SECONDS, Clock, boottime
from dispatcher.engine.loading.endpoint_cache import EndpointCache
from dispatcher.engine.ownership.other_daemons import OtherDaemons
from dispatcher.engine.stages.loop import to_tick
from dispatcher.store.queries.daemons import DRAINING, Claimed, Daemons, MissedStep, Renewal
from dispatcher.telemetry import observe

SHARDS = 64
HEARTBEAT_SECONDS = 0.25
"""Seconds between two heartbeats, half a tick more or less."""
CONFIRM_SECONDS = 0.02
"""Seconds to the next heartbeat after changes were applied: callers wait for its confirmation."""


class Lease:
    """The lease of this daemon on its shards.

    `on_shards_changed` is called after the owned shards have changed. `apply_changes` applies the
    next change notices, and returns True if there may be more: then the next heartbeat comes at
    once, as people wait for their changes. `on_set_back` is called if rows of shards hold times of
    a clock that was set back. The engine sets `unmoved`, which returns the shards of which rows are
    still to be moved for that.
    """

    def __init__(
        self,
        daemons: Daemons,
        buffer: DeliveryBuffer,
        endpoints: EndpointCache,
        clock: Clock,
        *,
        on_shards_changed: Callable[[], None],
        apply_changes: Callable[[], Awaitable[bool]],
        on_set_back: Callable[[ClockSetBack], None],
    ) -> None:
        self._daemons = daemons
        self._buffer = buffer
        self._endpoints = endpoints
        self._clock = clock
        self._on_shards_changed = on_shards_changed
        self._apply_changes = apply_changes
        self._on_set_back = on_set_back
        self.unmoved: Callable[[], frozenset[int]] = frozenset
        self._other_daemons = OtherDaemons()
        self.daemon: int | None = None
        self._previous_daemon: int | None = None
        self._missed_step: MissedStep | None = None
        self._next_daemon: int | None = None
        self.owned: frozenset[int] = frozenset()
        self._confirmed_at = float("-inf")
        self._releasing: frozenset[int] = frozenset()
        self._unrecordable: Counter[int] = Counter()
        self._is_draining = False
        self._has_left = False

    def __repr__(self) -> str:
        return f"<Lease {self.daemon}: {len(self.owned)} of {SHARDS} shards, valid {self.is_valid}>"

    @property
    def is_valid(self) -> bool:
        """Return True while sends may start."""
        return boottime() - self._confirmed_at < VALID_SECONDS

    @property
    def kept(self) -> frozenset[int]:
        """Return the shards that no other daemon has now: the owned and those being released."""
        return self.owned | self._releasing if self.is_valid else frozenset()

    def covers(self, shard: int) -> bool:
        """Return True if a delivery of this shard may start now."""
        return self.is_valid and shard in self.owned

    def give_up(self) -> None:
        """Give up all shards until the next join, as other daemons may own them now."""
        self._previous_daemon = self.daemon or self._previous_daemon
        self.daemon = None
        self._confirmed_at = float("-inf")
        self._releasing = frozenset()
        self._own(frozenset())

    def note_unrecordable(self, delivery: Delivery) -> None:
        """Note a delivery that stays in memory for good, as nothing of it can be written.

        It does not keep its shard from another daemon, although that daemon will send it again.
        Otherwise no daemon would send the other deliveries of the shard.
        """
        self._unrecordable[delivery.shard] += 1

    def drain(self) -> None:
        """Start no more sends, and release the shards: idle ones with the next heartbeat.

        The others follow as their last result is recorded.
        """
        self._is_draining = True
        self._releasing |= self.owned
        self._own(frozenset())

    async def run_once(self) -> float:
        """Send one heartbeat, apply its answer, and return the seconds to the next.

        Raise StoreError or StatementTimeoutError.
        """
        if self._has_left:
            return HEARTBEAT_SECONDS
        daemon = self.daemon or await self._join()
        asked_at = boottime()
        version = DRAINING if self._is_draining else self._endpoints.version
        renewal = await self._daemons.renew(daemon, version)
        if renewal is None:
            self.give_up()
            return 0.0
        self._other_daemons.note_heartbeats(renewal.others, boottime())
        self._note_step(renewal, self._clock.set(renewal.now, asked_at))
        has_changes = renewal.version != self._endpoints.version
        if has_changes and not await self._endpoints.refresh():
            return 0.0  # apply the rest after a heartbeat. Otherwise the lease could end first
        has_more = renewal.has_change_notices and await self._apply_changes()
        await self._endpoints.share_limits(self._other_daemons.count_sending(boottime()))
        self._confirmed_at = asked_at
        await self._balance(daemon, renewal, self._other_daemons.count_sharing(boottime()))
        if has_more:
            return 0.0
        now = boottime()
        wait = (CONFIRM_SECONDS if has_changes else HEARTBEAT_SECONDS) - (now - asked_at)
        if not has_changes:
            wait = to_tick(wait, time.monotonic())  # with the waits of the other stages
        return max(0.0, min(wait, self._other_daemons.next_change(now)))

    async def leave(self) -> None:
        """Give up all shards at once, so that other daemons need not wait for the lease to end."""
        self._has_left = True
        if self.daemon is not None:
            await self._daemons.leave(self.daemon)
            self.give_up()

    async def _join(self) -> int:
        """Join with a new daemon id, which takes over the shards of the last one; return it."""
        # An id is kept until a join succeeds: a join whose answer was lost may be committed.
        if self._next_daemon is None:
            self._next_daemon = randbits(62)
        if self._previous_daemon is None:
            # Kept, as a join may fail after it: the next call returns None.
            self._missed_step = self._missed_step or await self._daemons.take_clock_step()
        await self._daemons.join(self._next_daemon, self._previous_daemon)
        self.daemon = joined = self._next_daemon
        self._next_daemon = self._previous_daemon = None
        return joined

    def _note_step(self, renewal: Renewal, step: float) -> None:
        """Note by how many seconds the database's clock was set; 0.0 if it was not."""
        if step:
            observe.database.clock_stepped(step)
        if step < 0:
            self._buffer.set_back(-step)
            self._on_set_back(ClockSetBack(-step, renewal.shards, renewal.horizon))

    def _note_claimed(self, claimed: Collection[Claimed], horizon: str) -> None:
        """Note a clock step that the last owner of a claimed shard did not handle.

        If the last heartbeat of that owner is in the future, the clock was set back after it. A
        shard that had no owner shows no step. So if the clock was set back while no daemon ran, the
        rows of all such shards are moved here.
        """
        if step := self._missed_step:
            self._missed_step = None
            observe.database.clock_stepped(-step.seconds)
            self._on_set_back(ClockSetBack(step.seconds, step.shards, horizon))
        ages: dict[float, set[int]] = {}
        for shard, age in claimed:
            if age is not None and age <= -CLOCK_STEP_SECONDS:
                ages.setdefault(age, set()).add(shard)
        for age, shards in ages.items():
            observe.database.clock_stepped(age)
            self._on_set_back(ClockSetBack(-age, frozenset(shards), horizon))

    async def _balance(self, daemon: int, renewal: Renewal, others: int) -> None:
        """Claim shards up to this daemon's equal share with the `others`, or release those above.

        A shard is released only when none of its deliveries is in memory, and none is to be moved.
        """
        shards = renewal.shards
        if (missing := self._share(others) - len(shards)) > 0:
            silent = self._other_daemons.silent(boottime())
            claimed = await self._daemons.claim_shards(daemon, missing, silent)
            self._note_claimed(claimed, renewal.horizon)
            shards |= {c.shard for c in claimed}
        # Shards that are being released come last: they are released unless the share has grown.
        ranked = sorted(shards, key=lambda shard: (shard in self._releasing, shard))
        self._releasing = frozenset(ranked[self._share(others) :])
        if not self._is_draining:
            self._releasing -= self.unmoved()  # sent from here until they can be released
        self._own(shards - self._releasing)
        if idle := self._idle(self._releasing):
            await self._daemons.release_shards(daemon, idle)
            self._releasing -= idle

    def _share(self, others: int) -> int:
        """Return how many shards this daemon may own beside `others`; none while it drains."""
        return 0 if self._is_draining else -(-SHARDS // (others + 1))

    def _idle(self, shards: frozenset[int]) -> frozenset[int]:
        """Return those of `shards` that can be released: no delivery of them is in memory.

        Unrecordable deliveries do not count, as they never leave memory. Leave out shards of which
        rows are still to be moved after a clock step.
        """
        if not shards:
            return shards
        leaving = self._buffer.count_by_shard() - self._unrecordable
        return shards - leaving.keys() - self.unmoved()

    def _own(self, shards: frozenset[int]) -> None:
        if shards != self.owned:
            self.owned = shards
            self._buffer.own(shards)
            observe.daemon.shards_changed(self.daemon, len(shards))
            self._on_shards_changed()
