"""What a heartbeat's answer makes the lease do: claim, look again in time, notice a clock that was set."""

import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import cast
from uuid import UUID

import pytest

from dispatcher.core.model import ClockSetBack, Delivery, Heartbeat, SilentDaemon
from dispatcher.engine.buffer.delivery_buffer import DeliveryBuffer
from dispatcher.engine.buffer.endpoint_queue import QueueSettings
from dispatcher.engine.buffer.endpoint_queues import EndpointQueues
from dispatcher.engine.clock import Clock
from dispatcher.engine.loading.endpoint_cache import EndpointCache
from dispatcher.engine.ownership.lease import HEARTBEAT_SECONDS, Lease
from dispatcher.store.queries.daemons import DRAINING, Claimed, Daemons, MissedStep, Renewal

ALL = frozenset(range(64))
ENDPOINT = UUID(int=1)


class Table:
    """Stands for the table of daemons; `answer` is the next one to a heartbeat."""

    def __init__(self) -> None:
        self.answer = renewal()
        self.free: tuple[Claimed, ...] = ()
        self.joined: list[tuple[int, int | None]] = []
        self.asked: list[Sequence[SilentDaemon]] = []
        self.versions: list[int] = []
        self.released: list[int] = []
        self.refuses = False
        self.batches_applied = 0
        self.missed_steps: list[MissedStep] = []
        self.unmoved: frozenset[int] = frozenset()

    async def take_clock_step(self) -> MissedStep | None:
        return self.missed_steps.pop() if self.missed_steps else None

    async def join(self, daemon: int, before: int | None) -> None:
        self.joined.append((daemon, before))
        if self.refuses:
            raise ConnectionError

    async def renew(self, daemon: int, version: int) -> Renewal | None:
        self.versions.append(version)
        return self.answer

    async def claim_shards(
        self, daemon: int, limit: int, silent: Sequence[SilentDaemon]
    ) -> tuple[Claimed, ...]:
        self.asked.append(silent)
        return self.free

    async def release_shards(self, daemon: int, shards: Collection[int]) -> None:
        """Release them, also from the next answers."""
        self.released += sorted(shards)
        self.answer = replace(self.answer, shards=self.answer.shards - set(shards))


class Endpoints:
    version = 0

    async def share_limits(self, others: int) -> None:
        pass


def renewal(
    *others: Heartbeat,
    ahead: float = 0.0,
    shards: frozenset[int] = frozenset(),
    has_change_notices: bool = False,
) -> Renewal:
    return Renewal(time.time() + ahead, 0, shards, others, has_change_notices, horizon="77")


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def steps() -> list[ClockSetBack]:
    return []


@pytest.fixture
def buffer() -> DeliveryBuffer:
    return DeliveryBuffer(capacity=10, queues=EndpointQueues(10))


@pytest.fixture
def lease(table: Table, steps: list[ClockSetBack], buffer: DeliveryBuffer) -> Lease:
    async def apply_changes() -> bool:
        table.batches_applied += 1
        return table.batches_applied < 3

    lease = Lease(
        cast(Daemons, table),
        buffer,
        cast(EndpointCache, Endpoints()),
        Clock(),
        on_shards_changed=lambda: None,
        apply_changes=apply_changes,
        on_set_back=steps.append,
    )
    lease.unmoved = lambda: table.unmoved
    return lease


async def test_a_daemon_claims_free_shards_and_names_silent_daemons(
    lease: Lease, table: Table
) -> None:
    table.answer = renewal(Heartbeat(1, 5, 0.1), Heartbeat(2, 6, 3.0), Heartbeat(3, 7, 11.0))
    table.free = (Claimed(4, None), Claimed(5, 3.0))
    await lease.run_once()
    assert table.asked == [
        [SilentDaemon(2, 6, whole_lease=False), SilentDaemon(3, 7, whole_lease=True)]
    ]
    assert lease.owned == {4, 5}
    assert lease.covers(4)
    assert not lease.covers(6)


async def test_the_next_heartbeat_comes_at_once_while_change_notices_wait(
    lease: Lease, table: Table
) -> None:
    table.answer = renewal(has_change_notices=True)
    assert [await lease.run_once() for _ in range(2)] == [0.0, 0.0]
    assert await lease.run_once() > 0.0
    assert table.batches_applied == 3


async def test_the_next_heartbeat_comes_when_a_silent_daemon_reaches_its_limit(
    lease: Lease, table: Table
) -> None:
    table.answer = renewal(Heartbeat(1, 5, 0.0))
    assert HEARTBEAT_SECONDS / 4 < await lease.run_once() <= HEARTBEAT_SECONDS * 1.6
    table.answer = renewal(Heartbeat(2, 5, 1.19))
    lease._other_daemons._noted_at = float("-inf")  # as at the first look of a process
    assert await lease.run_once() <= 0.01


@pytest.mark.parametrize("ahead", [3_600.0, -3_600.0])
async def test_a_database_clock_that_was_set_back_is_reported(
    lease: Lease, table: Table, steps: list[ClockSetBack], ahead: float
) -> None:
    table.answer = renewal(shards=ALL)
    await lease.run_once()
    assert steps == []
    table.answer = renewal(shards=frozenset({1, 2}), ahead=ahead)
    await lease.run_once()
    await lease.run_once()
    assert [(step.shards, step.horizon) for step in steps] == (
        [(frozenset({1, 2}), "77")] if ahead < 0 else []
    )
    assert [step.seconds for step in steps] == [pytest.approx(3_600.0, abs=30)] * len(steps)


async def test_rows_of_a_dead_owner_are_moved_after_a_clock_was_set_back(
    lease: Lease, table: Table, steps: list[ClockSetBack]
) -> None:
    table.answer = renewal(Heartbeat(1, 5, -3_600.0))
    table.free = (Claimed(1, -3_600.0), Claimed(2, -3_600.0), Claimed(3, 2.0), Claimed(4, None))
    await lease.run_once()
    assert steps == [ClockSetBack(3_600.0, frozenset({1, 2}), "77")]


async def test_rows_of_all_shards_are_moved_once_if_the_clock_was_set_back_while_no_daemon_ran(
    lease: Lease, table: Table, steps: list[ClockSetBack]
) -> None:
    table.missed_steps = [MissedStep(3_600.0, ALL)]
    table.refuses = True
    with pytest.raises(ConnectionError):
        await lease.run_once()
    assert steps == []
    table.refuses = False
    table.answer = renewal()
    table.free = (Claimed(1, None), Claimed(2, None))
    await lease.run_once()
    await lease.run_once()
    assert steps == [ClockSetBack(3_600.0, ALL, "77")]


async def test_shards_that_a_killed_daemon_still_named_are_moved_once(
    lease: Lease, table: Table, steps: list[ClockSetBack]
) -> None:
    table.missed_steps = [MissedStep(3_600.0, ALL - {4})]
    table.free = (Claimed(1, None),)
    await lease.run_once()
    table.free = (Claimed(4, -3_600.0),)  # it is dead now, after 1.2 s of silence
    await lease.run_once()
    assert steps == [
        ClockSetBack(3_600.0, ALL - {4}, "77"),
        ClockSetBack(3_600.0, frozenset({4}), "77"),
    ]


async def test_a_daemon_that_joins_again_takes_no_step(lease: Lease, table: Table) -> None:
    await lease.run_once()
    table.missed_steps = [MissedStep(3_600.0, ALL)]
    lease.give_up()
    await lease.run_once()
    assert table.missed_steps == [MissedStep(3_600.0, ALL)], "it noticed each step itself"


async def test_after_a_lost_session_the_daemon_joins_with_a_new_id_and_names_the_old(
    lease: Lease, table: Table
) -> None:
    await lease.run_once()
    first = lease.daemon
    lease.give_up()
    assert not lease.is_valid
    table.refuses = True
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await lease.run_once()
    table.refuses = False
    await lease.run_once()
    (_, *tries) = table.joined
    assert tries == [(lease.daemon, first)] * 3, "one name, however often it is tried"
    assert first not in (None, lease.daemon)


async def test_the_share_depends_on_heartbeats_and_not_on_the_clock(
    lease: Lease, table: Table
) -> None:
    for n in range(5):
        table.answer = renewal(Heartbeat(1, n, 0.1), shards=frozenset(range(32)))
        await lease.run_once()
    table.answer = renewal(Heartbeat(1, 6, 3_600.0), shards=frozenset(range(32)), ahead=3_600.0)
    table.asked.clear()
    await lease.run_once()
    assert table.asked == [], "it has its half, and the other lives"


def in_flight(buffer: DeliveryBuffer, shard: int) -> Delivery:
    """Return a delivery of this shard whose attempt has begun."""
    buffer.configure(ENDPOINT, QueueSettings(limit=2))
    number = len(buffer) + 1
    buffer.admit([Delivery(number, 1, ENDPOINT, shard, 0, 0, 0.0)], 1.0)
    delivery = buffer.take(1.0)
    assert delivery is not None
    return delivery


@pytest.mark.parametrize("others", [(), (Heartbeat(1, 5, 0.0),)])
async def test_a_draining_daemon_claims_nothing_and_releases_what_is_idle(
    lease: Lease, table: Table, buffer: DeliveryBuffer, others: tuple[Heartbeat, ...]
) -> None:
    mine = frozenset(range(0, 64, len(others) + 1))
    table.answer = renewal(*others, shards=mine)
    await lease.run_once()
    delivery = in_flight(buffer, 4)
    lease.drain()
    assert not lease.covers(4), "an attempt that has not begun may not begin now"
    table.asked.clear()
    await lease.run_once()
    assert set(table.released) == mine - {4}
    assert lease.owned == frozenset()
    assert table.versions == [0, DRAINING]
    buffer.confirm_recorded(delivery, None)
    await lease.run_once()
    assert set(table.released) == mine
    table.free = (Claimed(7, None),)
    await lease.run_once()
    assert table.asked == []


@pytest.mark.parametrize("is_draining", [True, False])
async def test_a_shard_is_kept_until_its_rows_were_moved_after_a_clock_step(
    lease: Lease, table: Table, is_draining: bool
) -> None:
    table.answer = renewal(shards=ALL)
    await lease.run_once()
    if is_draining:
        lease.drain()
    table.unmoved = frozenset({40, 41})
    table.answer = renewal(Heartbeat(1, 5, 0.0), shards=ALL)
    await lease.run_once()
    assert table.answer.shards & set(range(32, 64)) == {40, 41}
    assert lease.covers(40) is not is_draining
    table.unmoved = frozenset()
    await lease.run_once()
    assert table.answer.shards == (frozenset() if is_draining else set(range(32)))


async def test_shards_are_kept_until_they_are_released(
    lease: Lease, table: Table, buffer: DeliveryBuffer
) -> None:
    assert lease.kept == frozenset()
    table.answer = renewal(shards=ALL)
    await lease.run_once()
    delivery = in_flight(buffer, 4)
    lease.drain()
    assert lease.kept == ALL
    await lease.run_once()
    assert lease.kept == {4}
    buffer.confirm_recorded(delivery, None)
    await lease.run_once()
    assert lease.kept == frozenset()


async def test_nothing_is_kept_without_a_valid_lease(
    lease: Lease, table: Table, buffer: DeliveryBuffer
) -> None:
    table.answer = renewal(shards=ALL)
    await lease.run_once()
    in_flight(buffer, 4)
    lease.drain()
    await lease.run_once()
    lease.give_up()
    assert lease.kept == frozenset()
    table.answer = renewal()
    await lease.run_once()
    assert lease.kept == frozenset(), "others may have them since"


async def test_a_claim_that_ends_after_the_drain_began_starts_nothing(
    lease: Lease, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def claim_late(*_: object) -> tuple[Claimed, ...]:
        lease.drain()
        return (Claimed(7, None),)

    monkeypatch.setattr(table, "claim_shards", claim_late)
    await lease.run_once()
    assert (lease.owned, table.released) == (frozenset(), [7])


async def test_shards_are_shared_only_with_daemons_that_do_not_drain(
    lease: Lease, table: Table, buffer: DeliveryBuffer
) -> None:
    half = frozenset(range(32))
    table.answer = renewal(Heartbeat(1, 5, 0.0), shards=half)
    await lease.run_once()
    assert table.asked == []
    table.answer = renewal(Heartbeat(1, 6, 0.0, is_draining=True), shards=half)
    table.free = (Claimed(40, None),)
    await lease.run_once()
    assert lease.owned == half | {40}


async def test_shards_being_released_are_kept_when_the_share_has_grown_again(
    lease: Lease, table: Table, buffer: DeliveryBuffer
) -> None:
    table.answer = renewal(shards=ALL)
    await lease.run_once()
    in_flight(buffer, 40)
    table.answer = renewal(Heartbeat(1, 5, 0.0), shards=ALL)
    await lease.run_once()
    assert lease.owned == ALL - set(range(32, 64))
    assert 40 not in table.released
    table.answer = renewal(shards=table.answer.shards)
    await lease.run_once()
    assert 40 in lease.owned


@pytest.mark.parametrize("is_draining", [True, False])
async def test_a_delivery_that_cannot_be_recorded_keeps_its_shard_from_no_other_daemon(
    lease: Lease, table: Table, buffer: DeliveryBuffer, is_draining: bool
) -> None:
    table.answer = renewal(shards=ALL)
    await lease.run_once()
    lease.note_unrecordable(in_flight(buffer, 40))
    beside = in_flight(buffer, 40)
    if is_draining:
        lease.drain()
    table.answer = renewal(Heartbeat(1, 5, 0.0), shards=ALL)
    await lease.run_once()
    assert 40 not in table.released, "another delivery of this shard is under way"
    buffer.confirm_recorded(beside, None)
    await lease.run_once()
    assert table.released[-1] == 40
    assert len(table.released) == (64 if is_draining else 32)
