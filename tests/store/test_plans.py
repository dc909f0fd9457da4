"""Plans with a million pending deliveries: by index, whatever the planner believes.

The nasty belief is the one of statistics taken while the tables were empty: that is how every
table of this schema begins, and how the hot ones look to a vacuum that comes at a quiet moment.
"""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from dispatcher.store.statements import statement
from tests.conftest import Connection, _database, connected, with_database

FILL = """
INSERT INTO dispatcher.daemons VALUES (7, 7, now());
UPDATE dispatcher.shards SET owner = 7;
INSERT INTO dispatcher.endpoints (id, environment_id, name, url, secret, version, deleted_at)
  SELECT pg_temp.endpoint(n), 'env_default', 'n', 'u', '', n, CASE WHEN n % 50 = 7 THEN now() END
  FROM generate_series(1, 1000) AS n;
INSERT INTO dispatcher.subscriptions
  SELECT 'env_default', CASE n % 3 WHEN 0 THEN '*' WHEN 1 THEN 'order.*' ELSE 'user.t' || n END, pg_temp.endpoint(n)
  FROM generate_series(1, 1000) AS n;
INSERT INTO dispatcher.deliveries (id, event_id, endpoint_id, environment_id, type, next_at, shard, attempt, parked)
  SELECT dispatcher.id_floor(now()) + n, dispatcher.id_floor(now()) + n / 10, pg_temp.endpoint(1 + n % 1000),
         'env_default', 'user.created', now() - interval '1 hour' + n % 86400 * interval '1 s', n % 64, 1, n % 20 = 0
  FROM generate_series(1, 1000000) AS n;
INSERT INTO dispatcher.inbox (id, event_id, environment_id, type)
  SELECT n, n, 'env_default', 'user.created' FROM generate_series(1, 20000) AS n;
INSERT INTO dispatcher.attempts (delivery_id, event_id, endpoint_id, environment_id, type, attempt, started_at, outcome,
                                 duration_ms, request_headers)
  SELECT n, n, pg_temp.endpoint(1 + n % 1000), 'env_default', 'user.created', 1, now(), 'http', 1, '{}'
  FROM generate_series(1, 50000) AS n;
INSERT INTO dispatcher.events (type, data, source) SELECT 'a', '{}', 'directed' FROM generate_series(1, 20000);
"""
ENDPOINT = """
CREATE FUNCTION pg_temp.endpoint(n bigint) RETURNS uuid LANGUAGE sql AS $$
  SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid
$$
"""
NO_AUTOVACUUM = """
DO $$ DECLARE t regclass; BEGIN
  FOR t IN SELECT oid FROM pg_class WHERE relnamespace = 'dispatcher'::regnamespace AND relkind = 'r' LOOP
    EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = off)', t);
  END LOOP;
END $$
"""

SHARDS = f"'{{{','.join(map(str, range(64)))}}}'"
ENDPOINTS = f"'{{{','.join(f'00000000-0000-4000-8000-{n:012}' for n in range(20, 1001, 20))}}}'"
AN_ENDPOINT = "'00000000-0000-4000-8000-000000000020'"
COLUMNS = [
    *("5::bigint", "1::smallint", "5::float8", "'ok'::text", "200::smallint", "5::int", "''::text"),
    *("'{}'::text", "'[]'::text", "''::bytea"),
]
FORMS = [*["{}::text"] * 6, "{}", *["array_to_string({}, E'\\x1e')"] * 2, "{}"]
"""How the driver is given each of them."""


def batch(*more: str, form: str) -> str:
    """The columns of 500 results."""
    return given([f"array_fill({value}, ARRAY[500])" for value in (*COLUMNS, *more)], form)


def given(columns: list[str], form: str) -> str:
    """Columns as arguments, those after the common ones in one form."""
    forms = FORMS + [form] * (len(columns) - len(FORMS))
    return ", ".join(form.format(column) for form, column in zip(forms, columns, strict=True))


# What each is run with, and the indexes it must use. None may read a large table whole.
STATEMENTS = {
    "inbox/fan_out": (
        "500, 5::smallint, 7, '{}', 0, '{}', 20000",
        {"inbox_pkey", "endpoints_pkey"},
    ),
    "inbox/fan_out_slice": (
        "5000, 5::smallint, 7, '{}', 0, '{}'",
        {"inbox_pkey", "endpoints_pkey"},
    ),
    "inbox/quarantine": ("'reason', 'detail', 0, '{}', false", {"inbox_pkey"}),
    "deliveries/due": (
        f"{SHARDS}, array_fill('-infinity'::float8, ARRAY[64]), array_fill(100, ARRAY[64]), 2e9",
        {"deliveries_timer"},
    ),
    "deliveries/park": (f"array_fill(5::bigint, ARRAY[500]), {SHARDS}", {"deliveries_pkey"}),
    "deliveries/parked": (
        f"{ENDPOINTS}, array_fill(100, ARRAY[50]), {SHARDS}, 5000",
        {"deliveries_parked"},
    ),
    "deliveries/parked_in_order": (f"{AN_ENDPOINT}, 3::smallint, 1000", {"deliveries_parked"}),
    "deliveries/parked_endpoints": ("", {"deliveries_parked"}),
    "deliveries/cancel": ("2000, 5", {"deliveries_pkey", "deliveries_endpoint"}),
    "deliveries/record": (
        batch("'DELIVERED'::text", "5::float8", form="{}::text"),
        {"deliveries_pkey"},
    ),
    "deliveries/record_late": (
        batch("5::bigint", f"{AN_ENDPOINT}::uuid", form="{}"),
        {"deliveries_pkey", "attempts_delivery_id_idx", "events_pkey"},
    ),
}


@pytest.fixture(scope="module")
async def filled(server: str, maintenance: Connection, template: str) -> AsyncIterator[Connection]:
    async with (
        _database(maintenance, template) as name,
        connected(with_database(server, name)) as connection,
    ):
        await connection.execute("SET jit = off")
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


@asynccontextmanager
async def undone(connection: Connection) -> AsyncIterator[None]:
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()


async def explain(
    connection: Connection, name: str, arguments: str, mode: str, options: str = ""
) -> list[dict[str, Any]]:
    """The nodes of the plan of a statement, prepared as the driver does it."""
    async with undone(connection):
        await connection.execute(f"SET LOCAL plan_cache_mode = force_{mode}_plan")
        await connection.execute(f"PREPARE it AS {statement(name)}")
        try:
            call = f"EXECUTE it({arguments})" if arguments else "EXECUTE it"
            text = await connection.fetchval(f"EXPLAIN (FORMAT JSON{options}) {call}")
        finally:
            await connection.execute("DEALLOCATE it")
    return list(nodes(json.loads(text)[0]["Plan"]))


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


async def day(connection: Connection) -> str:
    today: str = await connection.fetchval(
        "SELECT dispatcher.partition_name('', (now() AT TIME ZONE 'UTC')::date)"
    )
    return today


@pytest.mark.parametrize("mode", ["generic", "custom"])
@pytest.mark.parametrize("name", STATEMENTS)
async def test_no_statement_of_the_hot_path_reads_a_large_table_whole(
    statistics: Connection, name: str, mode: str
) -> None:
    arguments, indexes = STATEMENTS[name]
    plan = await explain(statistics, name, arguments, mode)
    today = await day(statistics)
    large = {"deliveries", "inbox", f"attempts{today}", f"events{today}"}
    whole = [node["Relation Name"] for node in plan if node["Node Type"] == "Seq Scan"]
    assert large.isdisjoint(whole)
    used = {node["Index Name"].replace(today, "") for node in plan if "Index Name" in node}
    assert indexes <= used


@pytest.mark.parametrize("name", ["deliveries/due", "deliveries/parked"])
async def test_the_time_is_part_of_the_index_condition(statistics: Connection, name: str) -> None:
    """A filter would look at every row of the shard that is not due yet."""
    arguments, _ = STATEMENTS[name]
    plan = await explain(statistics, name, arguments, "generic")
    (scan,) = [node for node in plan if "Index Name" in node]
    assert "next_at" in scan["Index Cond"]


async def test_events_times_endpoints_is_all_the_work_there_is(statistics: Connection) -> None:
    """50 events for 333 endpoints: a plan that multiplies them by all endpoints takes half a minute."""
    arguments = "50, 5::smallint, 7, '{}', 0, '{}', 20000"
    for mode in ("generic", "custom"):
        async with undone(statistics):
            await statistics.execute("SET LOCAL statement_timeout = '8s'")
            plan = await explain(
                statistics, "inbox/fan_out", arguments, mode, ", ANALYZE, TIMING off"
            )
        (made,) = [node for node in plan if node.get("Subplan Name") == "CTE owing"]
        assert made["Actual Rows"] == 50 * 326
        assert max(node["Actual Rows"] * node["Actual Loops"] for node in plan) <= 60 * 1000


# ── four hundred days ───────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
async def old(server: str, maintenance: Connection, template: str) -> AsyncIterator[Connection]:
    """A database with 400 partitions of events, 30 of attempts."""
    async with (
        _database(maintenance, template) as name,
        connected(with_database(server, name)) as connection,
    ):
        make = """SELECT count(*) FILTER (WHERE dispatcher.make_partition($1, (now() AT TIME ZONE 'UTC')::date - n))
                  FROM generate_series(1, $2) AS n"""
        assert await connection.fetchval(make, "events", 392) == 392
        assert await connection.fetchval(make, "attempts", 22) == 22
        yield connection


def partitions(plan: list[dict[str, Any]], parent: str) -> set[str]:
    """The partitions of a table that were looked into."""
    return {
        name
        for node in plan
        if (name := str(node.get("Relation Name", ""))).startswith(f"{parent}_")
        and node.get("Actual Loops", 1)
    }


async def id_of(connection: Connection, days_ago: int) -> int:
    number: int = await connection.fetchval(
        "SELECT dispatcher.id_floor(now() - make_interval(days => $1))", days_ago
    )
    return number


async def test_events_are_read_from_the_partitions_of_their_ids_only(old: Connection) -> None:
    ids = [await id_of(old, days) for days in (0, 0, 3, 200)]
    plan = await explain(old, "events/with_ids", f"'{{{','.join(map(str, ids))}}}'", "custom")
    assert len(partitions(plan, "events")) == 3


async def test_a_late_result_is_looked_for_since_its_delivery_was_made(old: Connection) -> None:
    delivery, event = await id_of(old, 2), await id_of(old, 300)
    await old.execute(
        """INSERT INTO dispatcher.endpoints (id, environment_id, name, url, secret, version)
           VALUES ('00000000-0000-4000-8000-000000000020', 'env_default', 'n', 'u', '', 1)"""
    )
    values = [f"{delivery}::bigint", *COLUMNS[1:], f"{event}::bigint", f"{AN_ENDPOINT}::uuid"]
    arguments = given([f"ARRAY[{value}]" for value in values], "{}")
    plan = await explain(old, "deliveries/record_late", arguments, "generic", ", ANALYZE")
    assert len(partitions(plan, "events")) == 1
    # Two days ago to a week ahead, and the default one.
    assert len(partitions(plan, "attempts")) == 11
