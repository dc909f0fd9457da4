"""What a heartbeat's answer makes the lease do: claim, look again in time, notice a clock that was set."""

import time
from collections.abc import Sequence
from typing import cast

import pytest

from dispatcher.core.model import ClockSetBack, Heartbeat, SilentDaemon
from dispatcher.engine.buffer.delivery_buffer import DeliveryBuffer
from dispatcher.engine.buffer.endpoint_queues import EndpointQueues
from dispatcher.engine.clock import Clock
from dispatcher.engine.loading.endpoint_cache import EndpointCache
from dispatcher.engine.ownership.lease import HEARTBEAT_SECONDS, Lease
from dispatcher.store.queries.daemons import Claimed, Daemons, Renewal

ALL = frozenset(range(64))


class Table:
    """Stands for the table of daemons; `answer` is the next one to a heartbeat."""

    def __init__(self) -> None:
        self.answer = renewal()
        self.free: tuple[Claimed, ...] = ()
        self.joined: list[tuple[int, int | None]] = []
        self.asked: list[Sequence[SilentDaemon]] = []
        self.refuses = False
        self.batches_applied = 0
        self.missed_steps = [0.0]

    async def take_clock_step(self) -> float:
        return self.missed_steps.pop() if self.missed_steps else 0.0

    async def join(self, daemon: int, before: int | None) -> None:
        self.joined.append((daemon, before))
        if self.refuses:
            raise ConnectionError

    async def renew(self, daemon: int, version: int) -> Renewal | None:
        return self.answer

    async def claim_shards(
        self, daemon: int, most: int, silent: Sequence[SilentDaemon]
    ) -> tuple[Claimed, ...]:
        self.asked.append(silent)
        return self.free

    async def release_shards(self, daemon: int, shards: object) -> None:
        pass


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
def lease(table: Table, steps: list[ClockSetBack]) -> Lease:
    async def apply_changes() -> bool:
        table.batches_applied += 1
        return table.batches_applied < 3

    return Lease(
        cast(Daemons, table),
        DeliveryBuffer(capacity=10, queues=EndpointQueues(10)),
        cast(EndpointCache, Endpoints()),
        Clock(),
        on_shards_changed=lambda: None,
        apply_changes=apply_changes,
        on_set_back=steps.append,
    )


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
    table.missed_steps = [3_600.0]
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


async def test_a_daemon_that_joins_again_takes_no_step(lease: Lease, table: Table) -> None:
    await lease.run_once()
    table.missed_steps = [3_600.0]
    lease.give_up()
    await lease.run_once()
    assert table.missed_steps == [3_600.0], "it noticed each step itself"


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
