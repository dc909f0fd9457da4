"""Plans of what people read, with a long history: every row is found by an index, in its order.

The nasty belief is the one of statistics taken while the tables were empty, as each day's
partition begins.
"""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from dispatcher.core.ids import LARGEST_ID
from dispatcher.services.deliveries.event_outcomes import OUTCOME_COUNT_LIMIT
from tests.conftest import Connection, _database, connected, with_database
from tests.store.plans.plan import ENDPOINT, MEASURED, NO_AUTOVACUUM, Plan, explain, partitions
from tests.store.rows_read import rows_read

pytestmark = pytest.mark.long

BUSY = "'{00000000-0000-4000-8000-000000000001}'"
THREE = (
    "'{00000000-0000-4000-8000-000000000001,00000000-0000-4000-8000-000000000002,"
    "00000000-0000-4000-8000-000000000003}'"
)

DAYS_BEFORE = """
SELECT dispatcher.make_partition(parent, (now() AT TIME ZONE 'UTC')::date - n)
FROM generate_series(1, 10) AS n, unnest('{events,attempts}'::text[]) AS parent
"""
# Two events a millisecond, ten deliveries an event.
FILL = """
CREATE FUNCTION pg_temp.event(day bigint, number bigint) RETURNS bigint LANGUAGE sql AS
  'SELECT day + ((number / 2) << 22) + number % 2 * 20';
ALTER TABLE dispatcher.events DISABLE TRIGGER ALL;
INSERT INTO dispatcher.endpoints (id, environment_id, name, url, secret, version)
  SELECT pg_temp.endpoint(n), 'env_default', 'n', 'u', '', n FROM generate_series(1, 100) AS n;
INSERT INTO dispatcher.attempts (id, delivery_id, event_id, endpoint_id, environment_id, type, attempt, started_at, outcome,
                                 duration_ms, state)
  SELECT e.id + 1 + n % 10 + (1000::bigint << 22), e.id + 1 + n % 10, e.id, pg_temp.endpoint(1 + n % 100 * (n % 2)), 'env_default', 'user.created',
         1, now(), 'http', 1, CASE WHEN n % 40 = 1 THEN 'FAILED' WHEN n % 3 > 0 THEN 'DELIVERED' END
  FROM generate_series(0, 9) AS d CROSS JOIN generate_series(1, 8000) AS n
  CROSS JOIN LATERAL (SELECT dispatcher.id_floor(date_trunc('day', now(), 'UTC') - make_interval(days => d)) AS id) AS day
  CROSS JOIN LATERAL pg_temp.event(day.id, n / 10) AS e(id);
INSERT INTO dispatcher.deliveries (id, event_id, endpoint_id, environment_id, type, next_at, shard, attempt)
  SELECT e.id + 1 + n % 10, e.id, pg_temp.endpoint(1 + n % 100 * (n % 2)), 'env_default', 'user.created', now(), n % 64, n % 2
  FROM generate_series(1, 60000) AS n CROSS JOIN LATERAL pg_temp.event(dispatcher.id_floor(now()), n / 10) AS e(id);
INSERT INTO dispatcher.inbox (id, event_id, environment_id, type)
  SELECT n, n, 'env_default', 'user.created' FROM generate_series(1, 20000) AS n;
INSERT INTO dispatcher.events (id, type, data, reference)
  SELECT pg_temp.event(dispatcher.id_floor(date_trunc('day', now(), 'UTC') - make_interval(days => d)), n), 'user.created', '{}',
         CASE WHEN n % 2 = 0 THEN 'ord_' || n / 10 END
  FROM generate_series(0, 9) AS d CROSS JOIN generate_series(0, 5000) AS n;
INSERT INTO dispatcher.quarantine (id, event_id, environment_id, type, attempt, reason, detail)
  SELECT n, n, 'env_' || n % 10, 'user.created', 0, 'r', 'd' FROM generate_series(1, 50000) AS n;
INSERT INTO dispatcher.quarantine (id, event_id, endpoint_id, delivery_id, environment_id, type, attempt, reason, detail)
  SELECT n, n, pg_temp.endpoint(1 + n % 100), n, 'env_default', 'user.created', 1, 'result_refused', 'd'
  FROM generate_series(50001, 150000) AS n;
"""


@pytest.fixture(scope="module")
async def filled(server: str, maintenance: Connection, template: str) -> AsyncIterator[Connection]:
    async with (
        _database(maintenance, template) as name,
        connected(with_database(server, name)) as connection,
    ):
        await connection.execute("SET jit = off")
        await connection.execute("SET plan_cache_mode = force_custom_plan")
        await connection.execute("SET timezone = 'UTC'")
        await connection.execute(DAYS_BEFORE)
        await connection.execute(NO_AUTOVACUUM)
        await connection.execute("VACUUM ANALYZE")
        await connection.execute(ENDPOINT)
        await connection.execute(FILL)
        yield connection


@pytest.fixture(scope="module", params=["taken while empty", "taken now"])
async def statistics(filled: Connection, request: pytest.FixtureRequest) -> Connection:
    """The database, with such statistics."""
    if request.param == "taken now":
        await filled.execute("ANALYZE")
    return filled


async def id_of(connection: Connection, days_ago: int) -> int:
    number: int = await connection.fetchval(
        "SELECT dispatcher.id_floor(date_trunc('day', now(), 'UTC') - make_interval(days => $1))",
        days_ago,
    )
    return number


async def event_of(connection: Connection, days_ago: int, number: int) -> int:
    number_of_day: int = await connection.fetchval(
        "SELECT pg_temp.event($1, $2)", await id_of(connection, days_ago), number
    )
    return number_of_day


async def ran(connection: Connection, name: str, arguments: str) -> Plan:
    """The plan as it went, with the sessions' setting."""
    return await explain(connection, f"history/{name}", arguments, "custom", MEASURED)


def read_from(plan: Plan, *tables: str) -> int:
    """Return how many rows were read from tables and partitions, also those thrown away."""
    read = 0
    for node in plan.nodes:
        if str(node.get("Relation Name", "")).startswith(tables):
            thrown = node.get("Rows Removed by Filter", 0)
            read += (node["Actual Rows"] + thrown) * node["Actual Loops"]
    return round(read)


LARGE = ("deliveries", "attempts", "inbox", "events")
WHOLE = f"{LARGEST_ID}, 0, 100"
NO_ANSWER = "NULL, NULL, NULL"
FILTERS = ["NULL", "'PENDING'", "'DELIVERED'", "'CANCELLED'"]


@pytest.mark.parametrize("type_", ["NULL, NULL", "'rare', NULL"])
@pytest.mark.parametrize("status", FILTERS)
async def test_a_page_of_webhooks_reads_its_limit_of_rows(
    statistics: Connection, status: str, type_: str
) -> None:
    plan = await ran(
        statistics, "of_endpoints", f"{BUSY}, {WHOLE}, {status}, {type_}, 21, NULL, {NO_ANSWER}"
    )
    # Two kinds, a row ahead a partition; and where an ended one is wanted, whether it is pending.
    assert read_from(plan, *LARGE) <= 2 * 100 + 50
    plan = await ran(
        statistics, "of_endpoints", f"{THREE}, {WHOLE}, {status}, {type_}, 21, NULL, {NO_ANSWER}"
    )
    assert read_from(plan, *LARGE) <= 3 * (2 * 100 + 50)
    sorts = [
        node for node in plan.nodes if node["Node Type"] == "Sort" and node["Actual Rows"] > 1000
    ]
    assert sorts == []


@pytest.mark.parametrize("status", FILTERS)
async def test_a_page_of_an_environment_reads_its_limit_of_rows(
    statistics: Connection, status: str
) -> None:
    plan = await ran(
        statistics,
        "of_environment",
        f"'env_default', {WHOLE}, {status}, 'rare', NULL, 21, NULL, {NO_ANSWER}",
    )
    assert read_from(plan, *LARGE) <= 2 * 100 + 50


async def test_a_page_of_events_reads_its_limit_of_rows(statistics: Connection) -> None:
    plan = await ran(statistics, "events", f"'env_rare', {WHOLE}, NULL, NULL, 21")
    assert read_from(plan, *LARGE) <= 100 + 30


async def test_a_period_reads_only_its_days(statistics: Connection) -> None:
    low, high = await id_of(statistics, 5), await id_of(statistics, 3)
    period = f"{high}, {low}, 100, NULL, NULL, NULL, 21"
    plan = await ran(statistics, "of_endpoints", f"{BUSY}, {period}, NULL, {NO_ANSWER}")
    # From five days ago on (a delivery may have ended later), to a week ahead, and the default one.
    assert len(partitions(plan, "attempts")) <= 14
    plan = await ran(statistics, "events", f"'env_default', {high}, {low}, 100, NULL, NULL, 21")
    assert len(partitions(plan, "events")) <= 3


async def test_each_delivery_of_a_page_is_read_by_index(statistics: Connection) -> None:
    events = [await event_of(statistics, 3, number) for number in (1, 2)]
    names = [event + n for event in events for n in range(1, 11)]
    ids = f"'{{{','.join(map(str, names))}}}'"
    plan = await ran(statistics, "items", f"'env_default', {ids}, {names[0]}, NULL")
    assert read_from(plan, *LARGE) <= 40
    assert len(partitions(plan, "attempts")) <= 12
    plan = await ran(statistics, "attempts", f"'env_default', {names[0]}, 0, NULL, 200")
    assert read_from(plan, *LARGE) <= 1


async def test_events_are_read_from_the_partitions_of_their_ids_only(
    statistics: Connection,
) -> None:
    ids = [await event_of(statistics, days, 5) for days in (0, 3, 8)]
    several = f"'{{{','.join(map(str, ids))}}}'"
    for name, arguments in {
        "payloads": f"{several}, 100",
        "event_items": f"'env_default', {several}, 100",
    }.items():
        plan = await ran(statistics, name, arguments)
        assert len(partitions(plan, "events")) == 3
        assert read_from(plan, *LARGE) <= 3


async def test_an_event_reads_its_own_deliveries_only(statistics: Connection) -> None:
    event = await event_of(statistics, 2, 7)
    plan = await ran(statistics, "of_event", f"'env_default', {event}, {LARGEST_ID}, 21, 0, NULL")
    assert read_from(plan, *LARGE, "quarantine") <= 10
    # Of the day before too, as the clock may have been set back.
    assert len(partitions(plan, "attempts")) <= 12
    plan = await ran(statistics, "waiting", f"{event}")
    assert read_from(plan, *LARGE, "quarantine", "unvalidated_events") == 0


async def test_the_outcomes_of_a_page_read_their_own_deliveries_only(
    statistics: Connection,
) -> None:
    day = await id_of(statistics, 3)  # a day before, as the clock may have been set back
    numbers = [await event_of(statistics, 2, number) for number in range(1, 51)]
    events = f"'{{{','.join(map(str, numbers))}}}'"
    plan = await explain(
        statistics,
        "event_outcomes/of_events",
        f"'env_default', {events}, {OUTCOME_COUNT_LIMIT}, {day}, NULL",
        "custom",
        MEASURED,
    )
    assert read_from(plan, *LARGE, "quarantine") <= 50 * 10
    assert len(partitions(plan, "attempts")) <= 12
    assert plan.blocks <= 4000


async def test_the_deliveries_of_some_events_are_read_alone(statistics: Connection) -> None:
    day = await id_of(statistics, 2)
    numbers = [await event_of(statistics, 2, number) for number in range(1, 51)]
    events = f"'{{{','.join(map(str, numbers))}}}'"
    plan = await explain(
        statistics,
        "delivery_search/of_events",
        f"'env_default', {events}, {LARGEST_ID}, 0, 500, {day}, NULL",
        "custom",
        MEASURED,
    )
    assert read_from(plan, *LARGE, "quarantine") <= 50 * 10
    assert plan.blocks <= 4000


async def test_a_page_of_the_quarantine_is_read_by_its_index(statistics: Connection) -> None:
    arguments = f"'env_3', {LARGEST_ID}, 21"
    plan = await explain(statistics, "quarantine/list", arguments, "custom", MEASURED)
    assert read_from(plan, "quarantine") <= 21


TABLES = "deliveries|attempts|inbox|events"


@pytest.mark.parametrize("whose", [None, UUID("00000000-0000-4000-8000-000000000002")])
async def test_failures_are_read_without_what_was_delivered_between_them(
    statistics: Connection, whose: UUID | None
) -> None:
    arguments = ("env_default", whose, LARGEST_ID, 0, 100, None, None, 51, None)
    for answer, looked_up in (((500, 599, "http"), 0), ((None, None, "http"), 51)):
        read = await rows_read(statistics, TABLES, "delivery_search/failed", *arguments, *answer)
        # A row ahead a partition, and for each that is shown whether it ended again.
        assert read <= 100 + 25 + looked_up


async def test_the_answer_of_each_pending_delivery_is_looked_up_by_index(
    statistics: Connection,
) -> None:
    plan = await ran(
        statistics,
        "of_endpoints",
        f"{BUSY}, {WHOLE}, 'PENDING', NULL, NULL, 21, NULL, 500, 599, 'http'",
    )
    assert read_from(plan, *LARGE) <= 2 * 100 + 100


async def test_events_are_found_by_their_reference(statistics: Connection) -> None:
    arguments = ("env_default", "ord_100", LARGEST_ID, 0, 20)
    name = "delivery_search/events_with_reference"
    # A row ahead a partition; to plan, the server looks at the ends of each index as well.
    assert await rows_read(statistics, TABLES, name, *arguments) <= 20 + 2 * 20
    events = [await event_of(statistics, days, 700) for days in range(8)]
    of_events = ("env_default", events, LARGEST_ID, 0, 100, 0, None)
    read = await rows_read(statistics, TABLES, "delivery_search/of_events", *of_events)
    assert read <= 8 * (20 + 20)


async def test_causes_read_no_more_failures_than_their_limit(statistics: Connection) -> None:
    arguments = ("env_default", None, LARGEST_ID, 0, 100, None, None, None)
    read = await rows_read(statistics, TABLES, "delivery_search/causes", *arguments)
    # For each failure: whether it is pending, or ended again on one of the days after it.
    assert read <= 100 + 25 + 100


async def test_payloads_are_searched_in_no_more_rows_than_the_limit(
    statistics: Connection,
) -> None:
    arguments = ("env_default", ["nothing"], LARGEST_ID, 0, 500, 2**20, 10)
    read = await rows_read(statistics, TABLES, "delivery_search/events_with_text", *arguments)
    assert read <= 500 + 50
