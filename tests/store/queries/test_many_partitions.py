"""Years of history: no statement that people ask locks the partitions of all of it.

PostgreSQL's lock table has room for max_locks_per_transaction (64) times the connections. Half a
year of partitions stands for all: a statement that locks them all locks far more than LOCKS_LIMIT.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from time import time
from typing import Any, cast
from uuid import UUID

import asyncpg
import pytest

from dispatcher.core import ids
from dispatcher.core.ids import LARGEST_ID
from dispatcher.engine.bulk import bulk_changes
from dispatcher.engine.bulk.bulk_action_runner import BulkActionRunner
from dispatcher.services.audit.audit_log import Actor
from dispatcher.services.deliveries.delivery_actions import DeliveryActions
from dispatcher.services.deliveries.history import History as HistoryOfPeople
from dispatcher.store.connection.plan_settings import plan_settings
from dispatcher.store.queries import bulk_actions
from dispatcher.store.queries.deliveries import Deliveries
from dispatcher.store.queries.delivery_actions import DeliveryActions as StoredActions
from dispatcher.store.queries.delivery_search import DeliverySearch
from dispatcher.store.queries.endpoints import Endpoints
from dispatcher.store.queries.environments import Environments
from dispatcher.store.queries.event_outcomes import EventOutcomes
from dispatcher.store.queries.history import History, HistoryFilter
from dispatcher.store.queries.inbox import Inbox
from dispatcher.store.queries.replays import Replays
from dispatcher.store.session import Session, without_locks
from dispatcher.store.statements import statement
from tests.conftest import Connection, _database, connected, with_database
from tests.store import rows
from tests.store.engine_rows import Queues
from tests.store.engine_statements import Call, calls
from tests.store.plans.plan import undone

DAYS = 170
LOCKS_LIMIT = 650
EVENT_LOCKS_LIMIT = 300
"""The same of statements that read events alone: a day has half as many relations."""
FAN_OUT_LOCKS_LIMIT = 80
FAN_OUTS = {"inbox/fan_out", "inbox/fan_out_plain"}
ENGINE_LOCKS_LIMIT = 150
ENVIRONMENT = "env_default"
LOCKS = "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation'"
MAKE = """
SELECT dispatcher.make_partition(parent, (now() AT TIME ZONE 'UTC')::date - n)
FROM generate_series($1::int, $2::int) AS n, unnest('{events,attempts}'::text[]) AS parent
"""


class Counting:
    """Asks statement by statement, as a pool does, and notes how many relations each locks."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.locks = 0

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        async with self._connection.transaction():
            records = await self._connection.fetch(query, *args)
            locks = await self._connection.fetchval(LOCKS)
        self.locks = max(self.locks, locks)
        return records


class CountingSession(Session):
    """Notes how many relations its transactions have locked after each statement."""

    locks = 0

    async def ask(
        self, connection: "asyncpg.Connection[Any]", query: str, *args: object
    ) -> list[asyncpg.Record]:
        records = await super().ask(connection, query, *args)
        if connection.is_in_transaction():
            locks = await connection.fetchval(LOCKS)
            self.locks = max(self.locks, locks)
        return records


@pytest.fixture(scope="module")
async def long_history(
    server: str, maintenance: Connection, template: str
) -> AsyncIterator[Connection]:
    async with (
        _database(maintenance, template) as name,
        connected(with_database(server, name)) as connection,
    ):
        for first in range(1, DAYS, 40):  # so many a transaction: these lock them all
            await connection.execute(MAKE.replace("$1", str(first)).replace("$2", str(first + 39)))
        await connection.execute("SET plan_cache_mode = force_custom_plan")
        yield connection


@pytest.fixture(scope="module")
async def endpoint(long_history: Connection) -> UUID:
    """One with an event every tenth day, delivered or, every other one, failed; all sent again now."""
    endpoint_id = await rows.endpoint(long_history, "*")
    await long_history.execute(
        """INSERT INTO dispatcher.events (id, type, data, reference)
           SELECT dispatcher.id_floor(now() - make_interval(days => n)), 'a', '1', 'ord_1' FROM generate_series(5, $1, 10) n""".replace(
            "$1", str(DAYS)
        )
    )
    await long_history.execute("DELETE FROM dispatcher.inbox")
    await long_history.execute(
        """INSERT INTO dispatcher.attempts (id, delivery_id, event_id, endpoint_id, environment_id, type, attempt, started_at,
                                            outcome, duration_ms, state)
           SELECT e.id + 2, e.id + 1, e.id, $1, 'env_default', 'a', 1, now(), 'http', 1,
                  CASE WHEN row_number() OVER (ORDER BY e.id) % 2 = 0 THEN 'FAILED' ELSE 'DELIVERED' END
           FROM dispatcher.events e""",
        endpoint_id,
    )
    return endpoint_id


@pytest.fixture
async def owner_of_history(long_history: Connection) -> int:
    """A daemon that owns all shards."""
    await long_history.execute("UPDATE dispatcher.shards SET owner = 7")
    return 7


@pytest.fixture
def asked(long_history: Connection) -> Counting:
    return Counting(long_history)


@pytest.fixture
async def session(
    server: str, long_history: Connection, request: pytest.FixtureRequest
) -> AsyncIterator[CountingSession]:
    """A session that may change the history: what it queues is removed after the test.

    It is the session of bulk actions, unless a test names another.
    """
    name = getattr(request, "param", "upkeep")
    database = await long_history.fetchval("SELECT current_database()")
    opened = CountingSession(with_database(server, database), name, settings=plan_settings(name))
    yield opened
    await opened.close()
    await long_history.execute("DELETE FROM dispatcher.inbox")


async def ids_of(connection: Connection) -> list[int]:
    records = await connection.fetch("SELECT id + 1 AS id FROM dispatcher.events ORDER BY id DESC")
    return [row["id"] for row in records]


@pytest.mark.long
@pytest.mark.parametrize("of", ["endpoints", "environment"])
async def test_a_listing_reaches_all_deliveries_in_steps_of_some_days(
    long_history: Connection, asked: Counting, endpoint: UUID, of: str
) -> None:
    history = History(asked)
    listed_ids: list[int] = []
    horizon: int | None = LARGEST_ID
    while horizon is not None:
        filter_ = HistoryFilter(high=horizon)
        if of == "endpoints":
            seen = await history.of_endpoints([endpoint], filter_, 100, 100)
        else:
            seen = await history.of_environment(ENVIRONMENT, filter_, 100, 100)
        listed_ids += seen.ids
        horizon = seen.horizon
    assert listed_ids == await ids_of(long_history)
    assert asked.locks <= LOCKS_LIMIT


async def test_the_oldest_delivery_and_event_are_found(
    long_history: Connection, asked: Counting, endpoint: UUID
) -> None:
    ids = await ids_of(long_history)
    history = History(asked)
    items = await history.items(ENVIRONMENT, ids)
    assert [item["id"] for item in items] == ids
    assert {item["status"] for item in items} == {"DELIVERED", "FAILED"}
    assert [a["attempt"] for a in await history.attempts(ENVIRONMENT, ids[-1], 200)] == [1]
    assert await history.of_event(ENVIRONMENT, ids[-1] - 1, ids[0], 10) == [ids[-1]]
    assert asked.locks <= LOCKS_LIMIT


async def test_the_outcomes_of_events_are_read_in_steps_of_some_days(
    long_history: Connection, asked: Counting, endpoint: UUID
) -> None:
    events = [id_ - 1 for id_ in await ids_of(long_history)]
    outcomes = await EventOutcomes(asked).of_events(ENVIRONMENT, events, 100)
    assert sorted(row["id"] for row in outcomes) == sorted(events)
    assert {row["delivered"] + row["failed"] for row in outcomes} == {1}
    assert asked.locks < LOCKS_LIMIT


async def test_events_are_listed_in_steps_of_some_days(
    long_history: Connection, asked: Counting, endpoint: UUID
) -> None:
    listed_ids: list[int] = []
    horizon: int | None = LARGEST_ID
    while horizon is not None:
        seen = await History(asked).events(ENVIRONMENT, HistoryFilter(high=horizon), 100, 100)
        listed_ids += seen.ids
        horizon = seen.horizon
    assert listed_ids == [i - 1 for i in await ids_of(long_history)]
    assert asked.locks <= LOCKS_LIMIT


@pytest.mark.parametrize("of", ["endpoints", "environment", "failed"])
async def test_a_listing_by_response_reaches_all_failures_in_steps_of_some_days(
    long_history: Connection, asked: Counting, endpoint: UUID, of: str
) -> None:
    listed_ids: list[int] = []
    horizon: int | None = LARGEST_ID
    while horizon is not None:
        filter_ = HistoryFilter(high=horizon, status="FAILED", outcome="http")
        if of == "endpoints":
            seen = await History(asked).of_endpoints([endpoint], filter_, 100, 100)
        elif of == "environment":
            seen = await History(asked).of_environment(ENVIRONMENT, filter_, 100, 100)
        else:
            seen = await DeliverySearch(asked).failed(ENVIRONMENT, filter_, 100, 100)
        listed_ids += seen.ids
        horizon = seen.horizon
    assert len(listed_ids) == len(await ids_of(long_history)) // 2
    assert asked.locks <= LOCKS_LIMIT


async def test_failures_are_grouped_in_steps_of_some_days(
    long_history: Connection, asked: Counting, endpoint: UUID
) -> None:
    number, horizon = 0, LARGEST_ID
    while True:
        read = await DeliverySearch(asked).causes(ENVIRONMENT, HistoryFilter(high=horizon), 100)
        number += sum(cause["deliveries"] for cause in read.causes)
        if read.looked_to is None:
            break
        horizon = read.looked_to
    assert number == len(await ids_of(long_history)) // 2
    assert asked.locks <= LOCKS_LIMIT


async def test_a_page_without_a_cause_still_says_that_more_failures_are_left(
    long_history: Connection, endpoint: UUID
) -> None:
    search = DeliverySearch(long_history)
    read = await search.causes(ENVIRONMENT, HistoryFilter(type="another.type"), 1)
    assert read.causes == []
    assert read.looked_to is not None


async def test_reading_unwell_endpoints_locks_the_partitions_of_few_days(
    asked: Counting, endpoint: UUID
) -> None:
    assert await Endpoints(asked).unwell(None, 10) == []
    assert asked.locks <= LOCKS_LIMIT


async def test_events_are_searched_in_steps_of_some_days(
    long_history: Connection, asked: Counting, endpoint: UUID
) -> None:
    ids = [i - 1 for i in await ids_of(long_history)]
    search = DeliverySearch(asked)
    matched_ids: list[int] = []
    horizon: int | None = LARGEST_ID
    while horizon is not None:
        seen = await search.events_with_text(
            ENVIRONMENT, ["1"], HistoryFilter(high=horizon), rows=100, size_bytes=2**20, limit=100
        )
        matched_ids += seen.ids
        horizon = seen.horizon
    assert matched_ids == ids
    assert asked.locks <= EVENT_LOCKS_LIMIT


async def test_events_with_a_reference_are_read_in_steps_of_some_days(
    long_history: Connection, asked: Counting, endpoint: UUID
) -> None:
    ids = [i - 1 for i in await ids_of(long_history)]
    search = DeliverySearch(asked)
    assert await search.events_with_reference(ENVIRONMENT, "ord_1", 100) == ids
    assert await search.events_with_reference(ENVIRONMENT, "ord_1", 10) == ids[:10]
    low, high = ids[-2], ids[1]
    assert await search.events_with_reference(ENVIRONMENT, "ord_1", 100, low=low, high=high) == [
        i for i in ids if low <= i < high
    ]
    assert asked.locks <= EVENT_LOCKS_LIMIT


async def test_a_replay_reaches_all_failures_in_steps_of_some_days(
    long_history: Connection, asked: Counting, endpoint: UUID
) -> None:
    recoveries = Replays(asked)
    span: dict[str, Any] = {"since": datetime(1970, 1, 2, tzinfo=UTC), "missed": True}
    position, failed = None, 0
    for _ in range(DAYS):
        counted = await recoveries.count(
            ENVIRONMENT, endpoint, until=None, position=position, look=2_000, **span
        )
        assert counted is not None
        position, failed = counted.position, failed + counted.failed
        if counted.complete:
            break
    assert failed == len(await ids_of(long_history)) // 2
    until = datetime.now(UTC) - timedelta(minutes=1)
    started = await recoveries.start(
        ENVIRONMENT, endpoint, until=until, rate=None, total=None, **span
    )
    assert started is not None
    made, state = 0, "RUNNING"
    while state == "RUNNING":
        step = await recoveries.step(
            {"id": started["id"], "environment_id": ENVIRONMENT, "has_room": True},
            look=2_000,
            make=100,
            waiting=10_000,
            pending=10_000,
        )
        made, state = made + step.made, step.state
    assert (state, made) == ("DONE", failed)
    await long_history.execute("DELETE FROM dispatcher.inbox")
    assert asked.locks <= LOCKS_LIMIT


async def test_the_environment_of_the_oldest_delivery_is_found(
    long_history: Connection, asked: Counting, endpoint: UUID
) -> None:
    oldest = (await ids_of(long_history))[-1]
    assert await Environments(asked).of_delivery(oldest) == ENVIRONMENT
    assert await Environments(asked).of_delivery(oldest + 7) is None
    assert asked.locks <= LOCKS_LIMIT


async def test_the_oldest_delivery_is_sent_again(
    long_history: Connection, session: CountingSession, endpoint: UUID
) -> None:
    """With the answer to the person, which is read in the same transaction."""
    name = ids.delivery_name((await ids_of(long_history))[-1])
    async with session.transaction() as opened:
        await DeliveryActions(opened, Actor("test")).retry(ENVIRONMENT, name)
        again = await HistoryOfPeople(without_locks(opened)).delivery(ENVIRONMENT, name)
    assert (again.status, again.attempts) == ("PENDING", 1)
    assert session.locks <= LOCKS_LIMIT


@pytest.mark.parametrize("session", ["record"], indirect=True)
async def test_a_late_result_is_recorded_without_the_partitions_before_its_delivery(
    long_history: Connection, session: CountingSession, endpoint: UUID
) -> None:
    ended = await rows.delivery(long_history, endpoint)
    await long_history.execute("DELETE FROM dispatcher.deliveries")
    late = rows.result(ended)
    assert await Deliveries(session).record_late([late]) == {ended.id}
    assert await Deliveries(session).record_late([late]) == set()
    await long_history.execute("DELETE FROM dispatcher.attempts WHERE delivery_id = $1", ended.id)
    await long_history.execute("DELETE FROM dispatcher.events WHERE id = $1", ended.event_id)
    assert session.locks <= LOCKS_LIMIT


async def test_an_attempt_that_was_recorded_long_after_the_end_counts(
    long_history: Connection, session: CountingSession, endpoint: UUID
) -> None:
    oldest = (await ids_of(long_history))[-1]
    await long_history.execute(
        """INSERT INTO dispatcher.attempts (delivery_id, event_id, endpoint_id, environment_id, type, attempt, started_at,
                                            outcome, duration_ms)
           VALUES ($1::bigint, $1::bigint - 1, $2, 'env_default', 'a', 7, now(), 'http', 1)""",
        oldest,
        endpoint,
    )
    (row,) = await StoredActions(session).find([oldest, oldest + 1], ENVIRONMENT)
    await long_history.execute("DELETE FROM dispatcher.attempts WHERE attempt = 7")
    assert (row["state"], row["status"], row["attempt"]) == ("ENDED", "DELIVERED", 7)


@pytest.mark.parametrize(
    ("criteria", "divisor"),
    [
        (HistoryFilter(status="FAILED"), 2),
        (HistoryFilter(status="FAILED", reference="ord_1"), 2),
        (HistoryFilter(), 1),
    ],
)
async def test_a_bulk_action_retries_all_failures_in_steps_of_some_days(
    long_history: Connection,
    session: CountingSession,
    endpoint: UUID,
    criteria: HistoryFilter,
    divisor: int,
) -> None:
    started = await bulk_actions.BulkActions(session).start(
        ENVIRONMENT, "retry", criteria, ids=None, rate=None, total=None, limit=100
    )
    assert started is not None
    await _run_all(session)
    done = await bulk_actions.BulkActions(session).get(ENVIRONMENT, started["id"])
    assert done is not None
    expected = len(await ids_of(long_history)) // divisor
    assert (done["state"], done["made"], done["skipped"]) == ("DONE", expected, "{}")
    assert session.locks <= LOCKS_LIMIT


async def test_named_deliveries_are_sent_again_those_of_some_days_at_a_time(
    long_history: Connection,
    session: CountingSession,
    endpoint: UUID,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bulk_changes, "DAYS_AT_ONCE_LIMIT", 4)
    named = await ids_of(long_history)
    started = await bulk_actions.BulkActions(session).start(
        ENVIRONMENT, "retry", HistoryFilter(), ids=named, rate=None, total=None, limit=100
    )
    assert started is not None
    assert await _run_all(session) == -(-len(named) // 4)
    queued = await long_history.fetch("SELECT delivery_id FROM dispatcher.inbox")
    assert {row["delivery_id"] for row in queued} == set(named)


async def _run_all(session: Session) -> int:
    """Run bulk actions to their end. Return the number of steps."""
    stage = BulkActionRunner(session)
    for steps in range(DAYS):
        if await stage.run_once() > 0.0:
            return steps
    raise AssertionError("it does not end")


# ── the engine ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["fan_out", "fan_out_plain"])
@pytest.mark.parametrize("session", ["fanout"], indirect=True)
async def test_the_fan_out_locks_the_partitions_of_two_days(
    long_history: Connection,
    session: CountingSession,
    owner_of_history: int,
    endpoint: UUID,
    name: str,
) -> None:
    event = await rows.event(long_history, data="1")
    async with session.transaction() as opened:
        done = await getattr(Inbox(cast(Session, opened)), name)(
            limit=10,
            shard=5,
            daemon=owner_of_history,
            saturated=[],
            after_id=0,
            small_bytes=10,
            small_ids=ids.of_days(time(), 2),
        )
    await long_history.execute("DELETE FROM dispatcher.deliveries")
    await long_history.execute("DELETE FROM dispatcher.events WHERE id = $1", event)
    assert [small.id for small in done.small_events] == [event]
    assert session.locks <= FAN_OUT_LOCKS_LIMIT


async def test_no_statement_of_the_engine_locks_the_partitions_of_all_days(
    long_history: Connection, endpoint: UUID
) -> None:
    """With generic plans too, where the session may make them."""
    queues = Queues("", long_history, (await ids_of(long_history))[0])
    locks = {}
    for name, call in calls(queues).items():
        if name.partition(":")[0] not in FAN_OUTS:
            locks[name] = await _locks_of(long_history, name.partition(":")[0], call)
    assert {name: number for name, number in locks.items() if number > ENGINE_LOCKS_LIMIT} == {}


async def _locks_of(connection: Connection, name: str, call: Call) -> int:
    settings = plan_settings(call.session)
    await connection.execute(f"PREPARE it AS {statement(name)}")
    try:
        async with undone(connection):
            for setting, value in settings.items():
                await connection.execute(f"SET LOCAL {setting} = '{value}'")
            execute = f"EXECUTE it({call.arguments})" if call.arguments else "EXECUTE it"
            await connection.execute(f"EXPLAIN (ANALYZE) {execute}")
            locks: int = await connection.fetchval(LOCKS)
            return locks
    finally:
        await connection.execute("DEALLOCATE it")
