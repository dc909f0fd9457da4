"""What a delivery costs the server, counted without a clock: statements, rows, blocks and WAL.

A guard for the way of a delivery. A new column, index, trigger or round trip shows here. Raise a figure
only with a reason. `make bench ARGS=server` measures the time.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from dispatcher.core.model import Delivery, Result, Sent
from dispatcher.engine.sending.body_cache import EVENTS_LIMIT, READ_LIMIT_BYTES
from dispatcher.engine.sending.recorder import WAITING_LIMIT, Recorder
from dispatcher.store.connection.plan_settings import plan_settings
from dispatcher.store.queries.deliveries import Deliveries
from dispatcher.store.queries.events import Events
from dispatcher.store.queries.inbox import Inbox
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.store import rows

NUMBER = 500
"""Deliveries at a time: as many as one statement fans out, and one records."""
DATA = '{"id":"usr_1","first_name":"Jane","last_name":"Doe","email":"jane@example.com"}'
SENT = Sent("Dispatcher", 1_764_380_000)
ANSWERED = '[1,"text/plain",0,"2",2,"Mon, 01 Jan 2024 00:00:00 GMT"]'
INSERT = "INSERT INTO dispatcher.events (type, data) SELECT 'user.created', $1::json FROM generate_series(1, $2::int)"
TOUCHED = """
SELECT sum(pg_stat_get_xact_blocks_fetched(oid)) AS blocks,
       sum(pg_stat_get_xact_tuples_inserted(oid) + pg_stat_get_xact_tuples_updated(oid) + pg_stat_get_xact_tuples_deleted(oid))
         FILTER (WHERE relkind = 'r') AS rows,
       pg_current_wal_insert_lsn() - '0/0'::pg_lsn AS wal
FROM pg_class WHERE relnamespace = 'dispatcher'::regnamespace
"""


@dataclass(slots=True)
class Cost:
    """Round trips, rows written, blocks touched and bytes of WAL, of so many deliveries."""

    statements: int = 0
    rows: int = 0
    blocks: int = 0
    wal: int = 0

    def each(self, number: int) -> tuple[float, float, float]:
        """Return rows, blocks and bytes a delivery."""
        return self.rows / number, self.blocks / number, self.wal / number


class Measured(Session):
    """A session of the daemon that counts what its statements touch."""

    def __init__(self, dsn: str, name: str) -> None:
        super().__init__(dsn, name, settings=plan_settings(name))
        self.cost = Cost()

    async def ask(
        self, connection: "asyncpg.Connection[Any]", query: str, *args: object
    ) -> list[asyncpg.Record]:
        async with connection.transaction():  # the server forgets its counters at a commit
            before = await connection.fetchrow(TOUCHED)
            records = await super().ask(connection, query, *args)
            after = await connection.fetchrow(TOUCHED)
        assert before is not None
        assert after is not None
        self.cost.statements += 1
        for what in ("rows", "blocks", "wal"):
            spent = int(after[what] - before[what])
            setattr(self.cost, what, getattr(self.cost, what) + spent)
        return records


@pytest.fixture
async def sessions(dsn: str) -> AsyncIterator[dict[str, Measured]]:
    opened = {name: Measured(dsn, name) for name in ("emit", "fanout", "bodies", "record")}
    yield opened
    for session in opened.values():
        await session.close()


async def deliver(sessions: dict[str, Measured], owner: int, events: int) -> Sequence[UUID]:
    """Take events all the way, as the stages do it; the endpoints of what was recorded."""
    await sessions["emit"].fetch(INSERT, DATA, events)
    inbox = Inbox(sessions["fanout"])
    fanned_out = await inbox.fan_out_plain(
        limit=NUMBER, shard=5, daemon=owner, saturated=[], after_id=0
    )
    if fanned_out.is_unusual:
        fanned_out = await inbox.fan_out(
            limit=NUMBER, shard=5, daemon=owner, saturated=[], after_id=0
        )
    assert fanned_out.picked == events
    made = fanned_out.deliveries
    ids = sorted({delivery.event_id for delivery in made})
    for begin in range(0, len(ids), EVENTS_LIMIT):
        await Events(sessions["bodies"]).to_send(
            ids[begin : begin + EVENTS_LIMIT], READ_LIMIT_BYTES
        )
    recorded: list[UUID] = []
    recorder = Recorder(
        Deliveries(sessions["record"]),
        kept=lambda: range(64),
        on_recorded=lambda delivery, _: recorded.append(delivery.endpoint_id),
        on_late=lambda _: None,
        on_unrecordable=lambda _: None,
        on_room=lambda: None,
        on_batch=lambda _: None,
    )
    for delivery in made:
        recorder.put(result_of(delivery))
    while len(recorder):
        await recorder.run_once()
    return recorded


def result_of(delivery: Delivery) -> Result:
    return rows.result(delivery, sent=SENT, response_headers=ANSWERED, response_body=b"ok")


async def costs(
    connection: Connection, sessions: dict[str, Measured], owner: int, fan_out: int
) -> dict[str, Cost]:
    """Return the cost of NUMBER deliveries, with so many new endpoints."""
    for _ in range(fan_out):
        await rows.endpoint(connection, "*")
    await deliver(sessions, owner, NUMBER // fan_out)  # the first pages, plans and caches
    return await measured(sessions, owner, NUMBER // fan_out)


async def measured(sessions: dict[str, Measured], owner: int, events: int) -> dict[str, Cost]:
    for session in sessions.values():
        session.cost = Cost()
    assert len(await deliver(sessions, owner, events)) == NUMBER
    return {name: session.cost for name, session in sessions.items()}


async def test_a_delivery_needs_four_kinds_of_statements_and_few_of_each(
    connection: Connection, sessions: dict[str, Measured], owner: int
) -> None:
    spent = await costs(connection, sessions, owner, fan_out=1)
    assert {name: cost.statements for name, cost in spent.items()} == {
        "emit": 1,
        "fanout": 1,
        "bodies": NUMBER // EVENTS_LIMIT,
        "record": NUMBER // WAITING_LIMIT,
    }


@pytest.mark.parametrize(
    ("fan_out", "limits"),
    [
        (1, {"emit": (2, 8, 430), "fanout": (2, 15, 515), "bodies": (0, 4, 1), "record": (2, 13, 550)}),
        (10, {"emit": (0.2, 1, 44), "fanout": (1.1, 11.5, 472), "bodies": (0, 1, 1), "record": (2, 13, 555)}),
    ],
)  # fmt: skip
async def test_a_delivery_stays_within_its_rows_blocks_and_wal(
    connection: Connection,
    sessions: dict[str, Measured],
    owner: int,
    fan_out: int,
    limits: dict[str, tuple[float, float, float]],
) -> None:
    """Rows are those written, blocks all that were touched; bytes of the log are without page images.

    PostgreSQL 14 touches more blocks than 18: 14.1 a fan-out of one delivery, 12.1 to record one.
    """
    spent = await costs(connection, sessions, owner, fan_out)
    averages = {name: cost.each(NUMBER) for name, cost in spent.items()}
    dearer = {
        name: f"{averages[name]}, at most {limits[name]}"
        for name in averages
        if any(has > may for has, may in zip(averages[name], limits[name], strict=True))
    }
    assert dearer == {}, averages


async def test_beside_another_daemon_the_rows_of_the_inbox_are_locked(
    connection: Connection, sessions: dict[str, Measured], owner: int
) -> None:
    """A daemon that is alone spares the log a lock of each row: 56 bytes."""
    alone = await costs(connection, sessions, owner, fan_out=1)
    await connection.execute("UPDATE dispatcher.shards SET owner = 8 WHERE shard = 63")
    beside = await measured(sessions, owner, NUMBER)
    assert 50 < (beside["fanout"].wal - alone["fanout"].wal) / NUMBER < 62
