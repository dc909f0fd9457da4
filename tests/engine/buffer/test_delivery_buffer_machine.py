"""Memory against the table, whatever happens in whatever order: nothing forgotten, nothing twice.

The machine is a daemon without a network and without a database: a dictionary stands for the table,
and everything that takes time in the daemon (a read, an attempt, its recording) is begun in one
step and ended in another, so that anything may come between.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from dispatcher.core.model import ChangeNotice, Delivery
from dispatcher.engine.buffer import endpoint_queues
from dispatcher.engine.buffer.delivery_buffer import DeliveryBuffer
from dispatcher.engine.buffer.endpoint_queue import QueueSettings
from dispatcher.engine.buffer.endpoint_queues import EndpointQueues
from dispatcher.engine.buffer.watermarks import NEVER_READ

A, B, ORDERED = ENDPOINTS = [UUID(int=n) for n in (1, 2, 3)]
SHARDS = [0, 1, 2]
HOME = 1
READ_AHEAD, OVERDUE = 20.0, 5.0
CAPACITY, DEPTH, LIMIT, QUEUE = 6, 10, 2, 2

endpoints, shards = st.sampled_from(ENDPOINTS), st.sampled_from(SHARDS)
picks = st.integers(0, 10)
then = st.sampled_from(["", "begin to apply", "apply"])


@dataclass
class Row:
    """A row of the table; `delivery` is how it is read."""

    delivery: Delivery
    parked: bool


@dataclass
class Read:
    """A statement under way: its answer, and the ids that became stale since it began."""

    rows: list[Delivery]
    reading: AbstractContextManager[set[int | UUID]]
    stale: set[int | UUID]
    note: int
    """The newest note of parked rows when it began."""
    most: int
    shard: int | None = None
    """Set: read ahead, from `low` to `before`. Else the parked rows of `endpoint_id`, or overdue ones."""
    low: float = NEVER_READ
    before: float = NEVER_READ
    endpoint_id: UUID | None = None


@dataclass
class Application:
    """ChangeNotices as they were read, each with its row."""

    notices: list[ChangeNotice]
    reading: AbstractContextManager[set[int | UUID]]
    stale: set[int | UUID]


@dataclass
class Daemon:
    """The attempts under way, those to be recorded, and recorded ones that are not yet stale."""

    in_flight: list[Delivery] = field(default_factory=list)
    finished: list[Delivery] = field(default_factory=list)
    recorded: list[tuple[Delivery, Delivery | None, bool]] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    applications: list[Application] = field(default_factory=list)


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now, self.number = 1000.0, 0
        self.table: dict[int, Row] = {}
        self.stopped = dict.fromkeys(ENDPOINTS, False)
        self.buffer = DeliveryBuffer(capacity=CAPACITY, queues=EndpointQueues(DEPTH))
        self.daemon = Daemon()
        self.attempted: set[tuple[int, int]] = set()
        self.notices: list[ChangeNotice] = []
        self.ended: dict[int, Delivery] = {}
        for endpoint_id in ENDPOINTS:
            self.configure(endpoint_id)
        self.buffer.own(frozenset(SHARDS))

    # ── the table ───────────────────────────────────────────────────────────────────────────────

    def insert(self, endpoint_id: UUID, shard: int, *, parked: bool) -> Delivery:
        self.number += 1
        made = Delivery(self.number, self.number, endpoint_id, shard, 0, 0, self.now)
        self.table[made.id] = Row(made, parked)
        return made

    def park(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            row = self.table.get(delivery.id)
            if row and row.delivery.shard in self.buffer.owned:
                row.parked = True

    def select(self, shard: int, low: float, before: float, limit: int) -> list[Delivery]:
        deliveries = [
            row.delivery
            for row in self.table.values()
            if row.delivery.shard == shard
            and not row.parked
            and low <= row.delivery.next_at < before
        ]
        return sorted(deliveries, key=lambda delivery: delivery.next_at)[:limit]

    def select_parked(self, endpoint_id: UUID, limit: int) -> list[Delivery]:
        deliveries = [
            row.delivery
            for row in self.table.values()
            if row.parked
            and row.delivery.endpoint_id == endpoint_id
            and row.delivery.shard in self.buffer.owned
            and (row.delivery.next_at <= self.now or endpoint_id == ORDERED)
        ]
        deliveries.sort(
            key=lambda delivery: delivery.id if endpoint_id == ORDERED else delivery.next_at
        )
        return deliveries[:limit]

    @initialize(counts=st.tuples(*[st.integers(0, 4)] * 3), ahead=st.booleans())
    def begin_with_rows(self, counts: tuple[int, int, int], ahead: bool) -> None:
        for endpoint_id, count in zip(ENDPOINTS, counts, strict=True):
            self.fan_out(endpoint_id, HOME, count)
        if ahead:
            self.read_everything()

    # ── what is made, and read ──────────────────────────────────────────────────────────────────

    def configure(self, endpoint_id: UUID) -> None:
        evicted = self.buffer.configure(
            endpoint_id,
            QueueSettings(
                limit=1 if endpoint_id == ORDERED else LIMIT,
                is_stopped=self.stopped[endpoint_id],
                is_ordered=endpoint_id == ORDERED,
            ),
        )
        self.park(evicted)

    @rule(endpoint_id=endpoints, shard=shards, count=st.integers(1, 6))
    def fan_out(self, endpoint_id: UUID, shard: int, count: int) -> None:
        if shard not in self.buffer.owned or self.stopped[endpoint_id]:
            return
        full = endpoint_id in self.buffer.endpoints_without_room(count)
        for _ in range(count):
            if endpoint_id == ORDERED or full:
                home = HOME if endpoint_id == ORDERED else shard
                self.insert(endpoint_id, home, parked=True)
                self.buffer.parked.note([endpoint_id])
            else:
                self.park(
                    self.buffer.admit([self.insert(endpoint_id, shard, parked=False)], self.now)
                )

    @rule(shard=shards, room=st.integers(1, 4))
    def begin_to_read_ahead(self, shard: int, room: int) -> None:
        before = self.now + READ_AHEAD
        low = self.buffer.watermark(shard)
        if shard in self.buffer.owned and low < before:
            limit = self.buffer.count_by_shard()[shard] + room
            self.buffer.raise_watermark(shard, before)
            rows = self.select(shard, low, before, limit)
            self.begin(Read(rows, *self.reading(), limit, shard, low, before))

    @rule(shard=shards)
    def begin_to_search_overdue(self, shard: int) -> None:
        if shard in self.buffer.owned:
            rows = self.select(shard, NEVER_READ, self.now - OVERDUE, 100)
            self.begin(Read(rows, *self.reading(), 101))

    @rule()
    def begin_to_refill_again(self) -> None:
        self.rescan()
        self.begin_to_refill()

    def begin_to_refill(self) -> None:
        for endpoint_id in self.buffer.endpoints_needing_refill():
            limit = self.buffer.rows_to_read(endpoint_id)
            rows = self.select_parked(endpoint_id, limit)
            self.begin(Read(rows, *self.reading(), limit, endpoint_id=endpoint_id))

    def reading(self) -> tuple[AbstractContextManager[set[int | UUID]], set[int | UUID], int]:
        reading = self.buffer.reading()
        return reading, reading.__enter__(), self.buffer.parked.newest

    def begin(self, read: Read) -> None:
        self.daemon.reads.append(read)

    @rule()
    def read_everything(self) -> None:
        """Do what the refill does in one pass, with nothing in between."""
        self.rescan()
        for shard in SHARDS:
            self.begin_to_read_ahead(shard, 2)
        self.begin_to_refill()
        self.end_all_reads()

    @precondition(lambda self: self.daemon.reads)
    @rule(which=picks, fails=st.sampled_from([False, False, False, True]))
    def end_a_read(self, which: int, fails: bool) -> None:
        read = self.daemon.reads.pop(which % len(self.daemon.reads))
        if fails:
            if read.shard is not None:
                self.buffer.lower_watermark(read.shard, read.low)
        else:
            if read.endpoint_id and len(read.rows) < read.most:
                self.buffer.parked.forget(read.endpoint_id, read.note)
            self.park(self.buffer.admit(read.rows, self.now, read.stale))
            if read.shard is not None and len(read.rows) == read.most:
                self.buffer.lower_watermark(read.shard, read.rows[-1].next_at)
        read.reading.__exit__(None, None, None)

    def rescan(self) -> None:
        self.buffer.parked.note({r.delivery.endpoint_id for r in self.table.values() if r.parked})

    # ── what is sent, and recorded ──────────────────────────────────────────────────────────────

    @rule(seconds=st.sampled_from([0.0, 1.0, 7.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.park(self.buffer.release_due(self.now))

    @rule(limit=st.integers(1, 5))
    def take(self, limit: int) -> None:
        for _ in range(limit):
            one = self.buffer.take(self.now)
            if one is None:
                return
            assert one.id not in [delivery.id for delivery in self.daemon.in_flight]
            assert (one.id, one.attempt) not in self.attempted
            assert one.shard in self.buffer.owned
            assert one.next_at <= self.now
            assert not self.stopped[one.endpoint_id]
            row = self.table.get(one.id)
            assert row.delivery.attempt == one.attempt if row else self.has_notice(one)
            self.check_order(one)
            self.attempted.add((one.id, one.attempt))
            self.daemon.in_flight.append(one)

    def check_order(self, one: Delivery) -> None:
        if one.endpoint_id == ORDERED:
            pending = [n for n, row in self.table.items() if row.delivery.endpoint_id == ORDERED]
            assert one.id <= min(pending, default=one.id)
            assert one.id in pending or self.has_notice(one)

    @precondition(lambda self: self.daemon.in_flight)
    @rule(which=picks)
    def finish_attempt(self, which: int) -> None:
        one = self.daemon.in_flight.pop(which % len(self.daemon.in_flight))
        self.buffer.finish_attempt(one)
        self.daemon.finished.append(one)

    @precondition(lambda self: self.daemon.in_flight)
    @rule(which=picks)
    def give_back(self, which: int) -> None:
        one = self.daemon.in_flight.pop(which % len(self.daemon.in_flight))
        self.attempted.discard((one.id, one.attempt))
        self.buffer.give_back(one)

    @precondition(lambda self: self.daemon.finished)
    @rule(which=picks, delay=st.sampled_from([None, None, 0.0, 3.0, 15.0, 100.0]))
    def record(self, which: int, delay: float | None) -> None:
        one = self.daemon.finished.pop(which % len(self.daemon.finished))
        row = self.table.get(one.id)
        applied = row is not None and row.delivery.attempt == one.attempt
        again = None
        if row and applied:
            if delay is None:
                self.end(one.id, one.attempt + 1)
            else:
                again = replace(one, attempt=one.attempt + 1, next_at=self.now + delay)
                row.delivery, row.parked = again, row.parked and one.endpoint_id == ORDERED
        elif one.id in self.ended:
            self.ended[one.id].attempt = max(self.ended[one.id].attempt, one.attempt + 1)
        self.daemon.recorded.append((one, again, applied))

    @precondition(lambda self: self.daemon.recorded)
    @rule(which=picks)
    def confirm_recorded(self, which: int) -> None:
        one, again, applied = self.daemon.recorded.pop(which % len(self.daemon.recorded))
        if applied:
            self.buffer.confirm_recorded(one, again)
        else:
            self.buffer.note_late(one)

    @rule(delay=st.sampled_from([None, 0.0, 3.0, 15.0, 100.0]))
    def finish_everything(self, delay: float | None) -> None:
        while self.daemon.in_flight:
            self.finish_attempt(0)
        while self.daemon.finished:
            self.record(0, delay)
        while self.daemon.recorded:
            self.confirm_recorded(0)

    def end(self, number: int, attempts: int) -> None:
        self.ended[number] = replace(self.table.pop(number).delivery, attempt=attempts)

    # ── what people do ──────────────────────────────────────────────────────────────────────────

    @precondition(lambda self: self.table)
    @rule(which=picks, then=then)
    def retry_now(self, which: int, then: str) -> None:
        row = self.one_of_the_table(which)
        row.delivery = replace(row.delivery, next_at=min(row.delivery.next_at, self.now))
        row.parked = row.parked and row.delivery.endpoint_id == ORDERED
        self.notice(row.delivery, then)

    @precondition(lambda self: self.table)
    @rule(which=picks, then=then)
    def cancel(self, which: int, then: str) -> None:
        row = self.one_of_the_table(which)
        self.end(row.delivery.id, row.delivery.attempt)
        self.notice(row.delivery, then)

    def one_of_the_table(self, which: int) -> Row:
        """More often than not one that is under way, or was a moment ago."""
        moving = [
            *self.daemon.in_flight,
            *self.daemon.finished,
            *(r[0] for r in self.daemon.recorded),
        ]
        rows = [self.table[one.id] for one in moving if one.id in self.table and which % 3]
        rows = rows or list(self.table.values())
        return rows[which % len(rows)]

    def notice(self, one: Delivery, then: str) -> None:
        self.number += 1
        self.notices.append(ChangeNotice(self.number, one.id, one.endpoint_id, one.shard, None))
        if then:
            self.begin_to_apply()
        if then == "apply":
            self.end_to_apply(fails=False)

    @precondition(lambda self: self.ended)
    @rule(which=picks, shard=shards)
    def send_again(self, which: int, shard: int) -> None:
        """One that ended is pending again, as fan-out makes it so."""
        one = list(self.ended.values())[which % len(self.ended)]
        if self.has_notice(one) or shard not in self.buffer.owned or one.endpoint_id == ORDERED:
            return
        del self.ended[one.id]
        parked = self.stopped[one.endpoint_id]
        again = replace(one, shard=shard, base=one.attempt, next_at=self.now)
        self.table[one.id] = Row(again, parked)
        if parked:
            self.buffer.parked.note([one.endpoint_id])
        else:
            self.park(self.buffer.admit([again], self.now))

    def has_notice(self, one: Delivery) -> bool:
        return one.id in [notice.delivery_id for notice in self.notices]

    @rule()
    def begin_to_apply(self) -> None:
        waiting = [n for n in self.notices if n.shard in self.buffer.owned]
        rows = [self.table.get(notice.delivery_id) for notice in waiting]
        read = [
            replace(n, delivery=r.delivery if r else None)
            for n, r in zip(waiting, rows, strict=True)
        ]
        self.daemon.applications.append(Application(read, *self.reading()[:2]))

    @precondition(lambda self: self.daemon.applications)
    @rule(fails=st.sampled_from([False, False, False, True]))
    def end_to_apply(self, fails: bool) -> None:
        application = self.daemon.applications.pop(0)
        if not fails:
            applied, to_park = self.buffer.apply_changes(
                application.notices, self.now, application.stale
            )
            self.park(to_park)
            self.notices = [notice for notice in self.notices if notice.id not in applied]
        application.reading.__exit__(None, None, None)

    # ── what changes ────────────────────────────────────────────────────────────────────────────

    @rule(endpoint_id=endpoints, stopped=st.booleans())
    def change_an_endpoint(self, endpoint_id: UUID, stopped: bool) -> None:
        self.stopped[endpoint_id] = stopped
        self.configure(endpoint_id)

    @rule()
    def forget_endpoints(self) -> None:
        for endpoint_id in self.buffer.forget(ENDPOINTS):
            self.configure(endpoint_id)  # as soon as something is sent to it

    @rule(shards=st.frozensets(shards))
    def read_again(self, shards: frozenset[int]) -> None:
        """As after rows were moved because the clock was set back."""
        self.buffer.read_again(shards)

    @rule(owned=st.sets(shards))
    def own(self, owned: set[int]) -> None:
        """Statements under way end before: losing a shard and gaining it again takes longer."""
        self.end_all_reads()
        while self.daemon.recorded:
            self.confirm_recorded(0)
        self.buffer.own(frozenset(owned))

    @rule(which=picks, done=st.booleans())
    def another_daemon_sends(self, which: int, done: bool) -> None:
        theirs = [
            row
            for row in self.table.values()
            if row.delivery.shard not in self.buffer.owned and self.first_in_order(row.delivery)
        ]
        if theirs:
            row = theirs[which % len(theirs)]
            if done:
                self.end(row.delivery.id, row.delivery.attempt + 1)
            else:
                row.delivery = replace(
                    row.delivery, attempt=row.delivery.attempt + 1, next_at=self.now + 2
                )

    def first_in_order(self, one: Delivery) -> bool:
        return one.endpoint_id != ORDERED or one.id == min(
            n for n, row in self.table.items() if row.delivery.endpoint_id == ORDERED
        )

    @rule()
    def another_daemon_fans_out_to_the_ordered_endpoint(self) -> None:
        if not self.stopped[ORDERED]:
            self.insert(ORDERED, HOME, parked=True)

    # ── what must hold ──────────────────────────────────────────────────────────────────────────

    @invariant()
    def every_pending_delivery_is_in_memory_or_parked_or_will_be_read(self) -> None:
        for number, row in self.table.items():
            one = row.delivery
            if one.shard in self.buffer.owned and not row.parked and not self.held(number):
                assert (
                    one.next_at >= self.buffer.watermark(one.shard)
                    or self.is_being_read(one)
                    or self.has_notice(one)
                )

    def held(self, number: int) -> bool:
        return number in self.buffer

    def is_being_read(self, one: Delivery) -> bool:
        return any(
            read.shard == one.shard and read.low <= one.next_at < read.before
            for read in self.daemon.reads
        )

    @invariant()
    def memory_is_bounded(self) -> None:
        assert len(self.buffer) <= CAPACITY + len(ENDPOINTS) * (QUEUE + LIMIT)

    def teardown(self) -> None:
        """With no other process about, everything is sent in the end, without a search for overdue rows."""
        self.end_all_reads()
        self.finish_everything(None)
        self.buffer.own(frozenset(SHARDS))
        for endpoint_id in ENDPOINTS:
            self.change_an_endpoint(endpoint_id, stopped=False)
        for _ in range(100):
            self.begin_to_apply()
            self.end_all_reads()
            self.finish_everything(None)
            self.wait(30.0)
            self.read_everything()
            self.take(5)
        assert self.table == {}
        assert len(self.buffer) == 0

    def end_all_reads(self) -> None:
        while self.daemon.reads:
            self.end_a_read(0, fails=False)
        while self.daemon.applications:
            self.end_to_apply(fails=False)


@pytest.mark.long
def test_no_delivery_is_forgotten_or_started_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_queues, "SHORT_DEPTH", QUEUE)
    run_state_machine_as_test(
        Machine, settings=settings(max_examples=150, stateful_step_count=60, deadline=None)
    )
