"""The recorder, when the table refuses some results."""

import asyncio
from collections.abc import Collection, Sequence
from uuid import UUID

import asyncpg
import pytest

from dispatcher.core.model import Delivery, Outcome, Result
from dispatcher.engine.sending import recorder as module
from dispatcher.engine.sending.recorder import Recorder
from dispatcher.store.errors import StoreError, StoreUnavailableError, TransactionConflictError

OURS = {0}
OK = Outcome("ok", None, "DELIVERED", None, None, None)
POISON = b"poison"


def result(number: int, body: bytes = b"", *, shard: int = 0) -> Result:
    delivery = Delivery(number, number, UUID(int=number), shard, 0, 0, 0.0)
    return Result(delivery, OK, 1.0, 200, 5, None, "[]", body)


class Table:
    """Refuses a statement with a poisoned body, and is away when asked about `away`, once."""

    def __init__(self, away: int | None = None) -> None:
        self.away = away
        self.written: list[int] = []
        self.notified = False

    async def record_for_others(self, results: Sequence[Result]) -> dict[int, float | None]:
        self.notified = True
        return await self.record(results)

    async def record(self, results: Sequence[Result]) -> dict[int, float | None]:
        if any(r.response_body == POISON for r in results):
            raise ValueError("a value the database refuses")
        if self.away in [r.delivery.id for r in results]:
            self.away = None
            raise StoreUnavailableError("away")
        new = [r.delivery.id for r in results if r.delivery.id not in self.written]
        self.written += new
        return dict.fromkeys(new)

    async def record_late(self, results: Sequence[Result]) -> set[int]:
        return set()


class Ends:
    """The results that were recorded or refused, by their end."""

    def __init__(self, table: Table) -> None:
        self.recorded: list[int] = []
        self.lost: list[int] = []
        self.recorder = Recorder(
            table,  # type: ignore[arg-type] # as much of it as the recorder uses
            kept=lambda: OURS,
            on_recorded=lambda delivery, _: self.recorded.append(delivery.id),
            on_late=lambda delivery: self.lost.append(delivery.id),
            on_unrecordable=lambda _: None,
            on_room=lambda: None,
            on_batch=lambda _: None,
        )


async def test_a_refused_result_is_written_without_the_answer() -> None:
    table = Table()
    ends = Ends(table)
    for entry in (result(1), result(2, POISON), result(3)):
        ends.recorder.put(entry)
    await ends.recorder.run_once()
    assert (table.written, ends.recorded, ends.lost) == ([1, 2, 3], [1, 2, 3], [])
    assert len(ends.recorder) == 0


@pytest.mark.parametrize(("shard", "notified"), [(0, False), (1, True)])
async def test_other_daemons_are_notified_of_results_for_their_shards(
    shard: int, notified: bool
) -> None:
    table = Table()
    ends = Ends(table)
    ends.recorder.put(result(1))
    ends.recorder.put(result(2, shard=shard))
    await ends.recorder.run_once()
    assert (table.notified, table.written, ends.recorded) == (notified, [1, 2], [1, 2])


@pytest.mark.parametrize("away", [1, 2, 3, 4])
async def test_an_outage_between_two_parts_repeats_only_unwritten_results(away: int) -> None:
    table = Table(away)
    ends = Ends(table)
    for entry in (result(1), result(2), result(3, POISON), result(4)):
        ends.recorder.put(entry)
    with pytest.raises(StoreUnavailableError):
        await ends.recorder.run_once()
    assert len(ends.recorder) == 4 - len(ends.recorded)
    await ends.recorder.run_once()
    assert (sorted(table.written), sorted(ends.recorded), ends.lost) == (
        [1, 2, 3, 4],
        [1, 2, 3, 4],
        [],
    )
    assert len(ends.recorder) == 0


async def test_a_result_that_an_ordered_endpoint_waits_for_ends_the_wait_for_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "BATCH_SECONDS", 600.0)
    table = Table()
    recorder = Ends(table).recorder
    recorder.put(result(1), is_awaited=True)
    await recorder.run_once()
    recorder.put(result(2))
    writing = asyncio.ensure_future(recorder.run_once())
    for _ in range(100):
        await asyncio.sleep(0)
    assert table.written == [1]
    recorder.put(result(3), is_awaited=True)
    await asyncio.wait_for(writing, 60)
    assert table.written == [1, 2, 3]


@pytest.mark.parametrize(("waiting", "room"), [(499, True), (500, False)])
async def test_there_is_no_room_while_five_hundred_results_wait(waiting: int, room: bool) -> None:
    ends = Ends(Table())
    for number in range(waiting):
        ends.recorder.put(result(number))
    assert ends.recorder.has_room == room
    await ends.recorder.run_once()
    assert (ends.recorder.has_room, len(ends.recorder)) == (True, 0)


class ClosedTable(Table):
    """Refuses each attempt. The rows in `held` are locked by another transaction."""

    def __init__(self) -> None:
        super().__init__()
        self.held: set[int] = set()
        self.quarantined: list[int] = []

    async def record(self, results: Sequence[Result]) -> dict[int, float | None]:
        if self.held.intersection(r.delivery.id for r in results):
            raise TransactionConflictError("a row is locked")
        return await self.probe()

    async def locked(self, ids: Collection[int]) -> set[int]:
        return self.held.intersection(ids)

    async def probe(self) -> dict[int, float | None]:
        raise asyncpg.CheckViolationError("no partition of relation found for row")

    async def quarantine(self, delivery: Delivery, detail: str) -> bool:
        self.quarantined.append(delivery.id)
        return True


@pytest.mark.parametrize("locked", [0, 1, 3])
async def test_a_table_that_takes_no_attempt_quarantines_nothing_beside_locked_rows(
    locked: int,
) -> None:
    table = ClosedTable()
    recorder = Ends(table).recorder
    for number in range(5):
        recorder.put(result(number))
    for turn in range(1, 4):
        for number in range(turn * 100, turn * 100 + locked):
            table.held.add(number)
            recorder.put(result(number))
        with pytest.raises(StoreError, match="all results are refused"):
            await recorder.run_once()
    assert (table.quarantined, len(recorder)) == ([], 5 + 3 * locked)
