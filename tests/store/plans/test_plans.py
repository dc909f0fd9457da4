"""Plans of the engine with full queues: one a statement, whatever the planner believes.

A queue is empty most of the time, so that statistics of it, or a plan kept since then, know nothing of
what it is when it is full. Blocks are counted and never time, under the settings of the session that a
statement belongs to.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dispatcher.store.connection.plan_settings import plan_settings
from tests.conftest import Connection, _database, connected, with_database
from tests.store.engine_plans import BEFORE, run_all
from tests.store.engine_rows import DAEMON, STATES, Queues, queues
from tests.store.engine_statements import PEOPLES, calls
from tests.store.plans.plan import MEASURED, explain, partitions, undone

pytestmark = pytest.mark.long

QUERIES = Path(__file__).parents[3] / "sql" / "queries"


@pytest.fixture(scope="module")
async def unfilled(server: str, maintenance: Connection, template: str) -> AsyncIterator[Queues]:
    async with queues(server, maintenance, template) as opened:
        yield opened


@pytest.fixture(scope="module", params=STATES)
async def full(unfilled: Queues, request: pytest.FixtureRequest) -> Queues:
    """Full queues, or emptied ones, in each state of their statistics."""
    await unfilled.get_into(request.param)
    return unfilled


async def test_no_statement_of_the_engine_has_a_second_plan(full: Queues) -> None:
    ran = await run_all(full)
    assert [str(run) for run in ran if not run.is_sound] == []


def test_every_statement_is_listed_for_the_engine_or_for_people(unfilled: Queues) -> None:
    """A new statement of the engine must be in `engine_statements`, so that its plans are tested."""
    engines = {name.partition(":")[0] for name in calls(unfilled)}
    names = {
        path.relative_to(QUERIES).with_suffix("").as_posix() for path in QUERIES.rglob("*.sql")
    }
    peoples = {name for name in names if {name, name.partition("/")[0]} & PEOPLES}
    assert names - engines - peoples == set()
    assert engines - names == set()


@pytest.mark.parametrize("name", ["deliveries/due", "deliveries/parked"])
async def test_the_time_is_part_of_the_index_condition(full: Queues, name: str) -> None:
    """A filter would look at every row of the shard that is not due yet."""
    call = calls(full)[name]
    plan = await explain(
        full.connection, name, call.arguments, "generic", settings=plan_settings(call.session)
    )
    (scan,) = [node for node in plan.nodes if "Index Name" in node]
    assert "next_at" in scan["Index Cond"]


@pytest.mark.parametrize("name", ["inbox/fan_out", "inbox/fan_out_slice", "inbox/first"])
async def test_excluded_environments_are_hashed(full: Queues, name: str) -> None:
    """Compared one after another, a thousand of them take half a second of 50,000 rows."""
    call = calls(full)[name]
    settings = plan_settings(call.session)
    plan = await explain(
        full.connection, name, call.arguments, "generic", ", VERBOSE", settings=settings
    )
    text = str(plan.root)  # "(hashed SubPlan 3)", or since PostgreSQL 17 "(ANY (... = (hashed ..."
    assert "hashed SubPlan" in text
    assert "environment_id = ANY" not in text


ANY, PLAIN = "inbox/fan_out", "inbox/fan_out_plain"
FAN_OUTS = {
    ANY: f"5::smallint, {DAEMON}, '{{}}', 0, '{{}}', 20000, {2**63 - 1}, 2048, 0, {2**63 - 1}",
    PLAIN: f"5::smallint, {DAEMON}, '{{}}', 0, 20000, 2048, 0, {2**63 - 1}",
}
"""Arguments after the number of events."""


@pytest.mark.parametrize("mode", ["generic", "custom"])
@pytest.mark.parametrize("name", [ANY, PLAIN])
async def test_fan_out_work_grows_with_events_times_endpoints_only(
    full: Queues, name: str, mode: str
) -> None:
    """50 events for 300 endpoints: a plan that multiplies them by all endpoints takes half a minute."""
    settings = {**plan_settings("fanout"), "statement_timeout": "8s"}
    arguments = f"50, {FAN_OUTS[name]}"
    async with undone(full.connection):
        await full.connection.execute(BEFORE.get(name, "SELECT 1"))
        await full.connection.execute(
            "UPDATE dispatcher.inbox SET type = 'wide.one' WHERE id <= $1", full.id(50)
        )
        plan = await explain(full.connection, name, arguments, mode, MEASURED, settings)
    (made,) = [node for node in plan.nodes if node.get("Subplan Name") == "CTE inserted"]
    assert made["Actual Rows"] == (0 if full.is_empty else 50 * 326)
    assert max(node["Actual Rows"] * node["Actual Loops"] for node in plan.nodes) <= 60 * 1000


@pytest.mark.parametrize("mode", ["generic", "custom"])
@pytest.mark.parametrize("name", [ANY, PLAIN])
async def test_fan_out_work_grows_with_events_of_other_types_each_only(
    full: Queues, name: str, mode: str
) -> None:
    """500 events of 500 types: a plan that compares each event with each type looks at 250,000 rows."""
    settings = plan_settings("fanout")
    arguments = f"500, {FAN_OUTS[name]}"
    async with undone(full.connection):
        await full.connection.execute(BEFORE.get(name, "SELECT 1"))
        await full.connection.execute(
            "UPDATE dispatcher.inbox SET type = 'user.t' || id WHERE id <= $1", full.id(500)
        )
        plan = await explain(full.connection, name, arguments, mode, MEASURED, settings)
    assert max(node["Actual Rows"] * node["Actual Loops"] for node in plan.nodes) <= 100_000


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


async def id_of(connection: Connection, days_ago: int) -> int:
    number: int = await connection.fetchval(
        "SELECT dispatcher.id_floor(now() - make_interval(days => $1))", days_ago
    )
    return number


async def test_events_are_read_from_the_partitions_of_their_ids_only(old: Connection) -> None:
    ids = [await id_of(old, days) for days in (0, 0, 3, 200)]
    array = f"'{{{','.join(map(str, ids))}}}'"
    for name, arguments in (("events/with_ids", array), ("events/to_send", f"{array}, 1000")):
        plan = await explain(old, name, arguments, "custom")
        assert len(partitions(plan, "events")) == 3


async def test_a_late_result_reads_only_partitions_since_its_delivery(old: Connection) -> None:
    delivery, event = await id_of(old, 2), await id_of(old, 300)
    await old.execute(
        """INSERT INTO dispatcher.endpoints (id, environment_id, name, url, secret, version)
           VALUES ('00000000-0000-4000-8000-000000000020', 'env_default', 'n', 'u', '', 1)"""
    )
    arguments = (
        f"'{{{delivery}}}', '{{1}}', '{{5}}', '{{ok}}', '{{200}}', '{{5}}', '{{}}', '{{}}', '{{5}}', '[]', '{{NULL}}',"
        f" '{{1}}', '{{1}}', '{{1}}', '{{1}}', '{{{event}}}', '{{00000000-0000-4000-8000-000000000020}}', {delivery}"
    )
    plan = await explain(old, "deliveries/record_late", arguments, "custom", ", ANALYZE")
    assert len(partitions(plan, "events")) == 1
    # Three days ago, as the clock may have been set back, to a week ahead, and the default one.
    assert len(partitions(plan, "attempts")) == 12
