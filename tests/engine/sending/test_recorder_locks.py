"""The recorder, while other transactions lock the rows of deliveries whose results wait."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, nullcontext
from time import monotonic

import pytest

from dispatcher.core.model import Delivery, Result
from dispatcher.engine.sending import recorder as module
from dispatcher.engine.sending.recorder import WAITING_LIMIT, Recorder
from dispatcher.store.connection.plan_settings import plan_settings
from dispatcher.store.errors import TransactionConflictError
from dispatcher.store.queries.deliveries import Deliveries
from dispatcher.store.session import Session
from tests.conftest import Connection, connected
from tests.store import rows
from tests.store.queries.test_refused_results import pending
from tests.waiting import until

LOCK_SECONDS = 0.2
"""How long the record session waits for a lock here."""


@pytest.fixture
async def recording(dsn: str) -> AsyncIterator[Session]:
    session = Session(
        dsn,
        "record",
        statement_timeout=60.0,
        settings={**plan_settings("record"), "lock_timeout": str(int(LOCK_SECONDS * 1000))},
    )
    yield session
    await session.close()


class Table(Deliveries):
    """Counts the statements that waited for a lock in vain."""

    conflicts = 0

    async def record(self, results: Sequence[Result], **within: object) -> dict[int, float | None]:
        try:
            return await super().record(results, **within)  # type: ignore[arg-type]
        except TransactionConflictError:
            self.conflicts += 1
            raise


class Ends:
    """A recorder, and what became of its results."""

    def __init__(self, session: Session, kept: Collection[int] = range(64)) -> None:
        self.table = Table(session)
        self.recorded: list[int] = []
        self.late: list[int] = []
        self.recorder = Recorder(
            self.table,
            kept=lambda: kept,
            on_recorded=lambda delivery, _: self.recorded.append(delivery.id),
            on_late=lambda delivery: self.late.append(delivery.id),
            on_unrecordable=lambda _: None,
            on_room=lambda: None,
            on_batch=lambda _: None,
        )

    def put(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            self.recorder.put(rows.result(delivery))

    async def record_all(self, limit: int = 200) -> None:
        for _ in range(limit):
            if not len(self.recorder):
                return
            await self.recorder.run_once()
        raise AssertionError(f"{len(self.recorder)} results still wait")


@asynccontextmanager
async def locking(dsn: str, deliveries: Sequence[Delivery]) -> AsyncIterator[None]:
    async with connected(dsn) as holder, holder.transaction():
        await holder.execute(
            "SELECT 1 FROM dispatcher.deliveries WHERE id = ANY ($1) FOR UPDATE",
            [d.id for d in deliveries],
        )
        yield


@pytest.mark.parametrize("number", [1, 10])
async def test_locked_rows_hold_up_no_other_result(
    connection: Connection, recording: Session, dsn: str, number: int
) -> None:
    deliveries = await pending(connection, 200)
    locked = deliveries[50 : 50 + number]
    ends = Ends(recording)
    ends.put(deliveries)
    async with locking(dsn, locked):
        await ends.recorder.run_once()
        assert sorted(ends.recorded) == sorted({d.id for d in deliveries} - {d.id for d in locked})
        # One wait for a lock, however many rows are locked. To find them by halves took more.
        assert (ends.table.conflicts, len(ends.recorder)) == (1, number)
    await ends.record_all()
    assert sorted(ends.recorded) == sorted(d.id for d in deliveries)
    assert len(await rows.attempts(connection)) == 200
    assert ends.late == []


async def test_later_results_are_recorded_while_a_row_stays_locked(
    connection: Connection, recording: Session, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOCKED_SECONDS", 0.0)  # looks at the row in every pass
    first, *others = await pending(connection, 6)
    ends = Ends(recording)
    ends.put([first])
    async with locking(dsn, [first]):
        await ends.recorder.run_once()
        for delivery in others:
            ends.put([delivery])
            await ends.recorder.run_once()
            assert ends.recorded[-1] == delivery.id
        assert (ends.table.conflicts, len(ends.recorder)) == (1, 1)
    await ends.record_all()
    assert ends.recorded[-1] == first.id


async def test_a_look_at_locked_rows_comes_at_most_once_a_second(
    connection: Connection, recording: Session, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOCKED_SECONDS", 600.0)
    first, *others = await pending(connection, 3)
    ends = Ends(recording)
    ends.put([first])
    async with locking(dsn, [first]):
        await ends.recorder.run_once()
    for delivery in others:  # they wake the recorder, but the row's turn has not come
        ends.put([delivery])
        await ends.recorder.run_once()
    assert (ends.recorded, len(ends.recorder)) == ([d.id for d in others], 1)


async def test_the_drain_waits_for_results_of_locked_rows(
    connection: Connection, recording: Session, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOCKED_SECONDS", 0.01)
    deliveries = await pending(connection, 3)
    ends = Ends(recording)
    ends.put(deliveries)

    async def run() -> None:
        while len(ends.recorder):
            await ends.recorder.run_once()

    async with locking(dsn, deliveries[:1]):
        stage = asyncio.create_task(run())
        drain = asyncio.create_task(ends.recorder.drain())
        await until(lambda: len(ends.recorded) == 2, "the others are recorded")
        began = monotonic()
        await until(lambda: monotonic() - began > 0.1, "passes go on")  # it could have ended by now
        assert not drain.done()
    await asyncio.wait_for(drain, 60)
    await stage
    assert sorted(ends.recorded) == sorted(d.id for d in deliveries)


async def test_results_of_locked_rows_count_towards_the_limit(
    connection: Connection, recording: Session, dsn: str
) -> None:
    deliveries = await pending(connection, WAITING_LIMIT)
    ends = Ends(recording)
    ends.put(deliveries)
    async with locking(dsn, deliveries):
        await ends.recorder.run_once()
        assert (len(ends.recorder), ends.recorder.has_room) == (WAITING_LIMIT, False)
    await ends.record_all()
    assert ends.recorder.has_room


@pytest.mark.parametrize("missing", [0, 1])
async def test_a_pass_fails_if_locked_rows_leave_no_room(
    connection: Connection,
    recording: Session,
    dsn: str,
    monkeypatch: pytest.MonkeyPatch,
    missing: int,
) -> None:
    """Then sending stops, and readiness has to see that."""
    monkeypatch.setattr(module, "LOCKED_SECONDS", 0.0)
    deliveries = await pending(connection, WAITING_LIMIT - missing)
    ends = Ends(recording)
    ends.put(deliveries)
    async with locking(dsn, deliveries):
        await ends.recorder.run_once()
        for _ in range(3):
            with (
                nullcontext() if missing else pytest.raises(TransactionConflictError, match="lock")
            ):
                await ends.recorder.run_once()
    await ends.record_all()
    assert sorted(ends.recorded) == sorted(d.id for d in deliveries)


async def test_results_for_shards_of_others_are_recorded_beside_a_locked_row(
    connection: Connection, recording: Session, dsn: str
) -> None:
    deliveries = await pending(connection, 4)
    ends = Ends(recording, kept=())
    ends.put(deliveries)
    async with locking(dsn, deliveries[:1]):
        await ends.recorder.run_once()
        assert sorted(ends.recorded) == sorted(d.id for d in deliveries[1:])
    await ends.record_all()
    assert sorted(ends.recorded) == sorted(d.id for d in deliveries)


async def test_late_results_are_recorded_beside_a_locked_row(
    connection: Connection, recording: Session, dsn: str
) -> None:
    deliveries = await pending(connection, 4)
    await connection.execute("UPDATE dispatcher.deliveries SET attempt = 3")
    ends = Ends(recording)
    ends.put(deliveries)
    async with locking(dsn, deliveries[:1]):
        await ends.recorder.run_once()
        assert sorted(ends.late) == sorted(d.id for d in deliveries[1:])
    await ends.record_all()
    assert sorted(ends.late) == sorted(d.id for d in deliveries)
    assert len(await rows.attempts(connection)) == 4


async def test_a_refused_result_of_a_locked_row_waits_for_its_quarantine(
    connection: Connection, recording: Session, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOCKED_SECONDS", 0.0)
    bad, *others = await pending(connection, 4)
    ends = Ends(recording)
    ends.recorder.put(rows.result(bad, status=70_000))  # refused before a row is looked at
    ends.put(others[:1])
    await ends.recorder.run_once()
    ends.put(others[1:])
    async with locking(dsn, [bad]):
        await ends.recorder.run_once()
        assert sorted(ends.recorded) == sorted(d.id for d in others)
        assert len(ends.recorder) == 1
    await ends.record_all()
    assert ends.recorded[-1] == bad.id  # by then it is in quarantine
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.quarantine") == 1


async def test_a_lock_on_the_whole_table_keeps_all_results_waiting(
    connection: Connection, recording: Session, dsn: str
) -> None:
    deliveries = await pending(connection, 3)
    ends = Ends(recording)
    ends.put(deliveries)
    async with connected(dsn) as holder:
        async with holder.transaction():
            await holder.execute("LOCK TABLE dispatcher.attempts")
            with pytest.raises(TransactionConflictError):
                await ends.recorder.run_once()
        assert (len(ends.recorder), ends.recorded) == (3, [])
    await ends.record_all()
    assert sorted(ends.recorded) == sorted(d.id for d in deliveries)
