"""A statement that passes over a flood reads a limited part of it, and says where reading ended."""

from typing import Any

import pytest

from dispatcher.core.ids import LARGEST_ID
from dispatcher.store.connection.plan_settings import plan_settings
from dispatcher.store.queries.inbox import READ_LIMIT, Inbox
from dispatcher.store.session import Session
from tests.conftest import Connection, connected
from tests.store import rows
from tests.store.plans.plan import explain

FLOOD = 130_000
SHARD = 5
FILL = """
INSERT INTO dispatcher.inbox (id, event_id, environment_id, type)
SELECT dispatcher.id_floor(now() - interval '10 minutes') + n, n, 'env_flood', 'a'
FROM generate_series(1, $1::integer) AS n
"""
READS = ", ANALYZE, TIMING off, COSTS off"


@pytest.fixture
async def flood(connection: Connection) -> int:
    """Fill the inbox with a flood, and return the id before it."""
    await rows.environment(connection, "env_flood")
    await connection.execute(FILL, FLOOD)
    first: int = await connection.fetchval("SELECT min(id) FROM dispatcher.inbox")
    return first - 1


def batch(owner: int, **changes: Any) -> dict[str, Any]:
    usual = {"limit": 500, "shard": SHARD, "daemon": owner, "saturated": []}
    return usual | {"after_id": 0, "excluded_environments": ["env_flood"]} | changes


async def rows_read(connection: Connection, name: str, arguments: str) -> int:
    """Return how many rows of the inbox a statement of the fan-out looks at."""
    plan = await explain(connection, name, arguments, "generic", READS, plan_settings("fanout"))
    return sum(
        int((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
        for node in plan.nodes
        if str(node.get("Relation Name", "")).startswith("inbox")
    )


@pytest.mark.long
@pytest.mark.parametrize("is_alone", [True, False])
@pytest.mark.parametrize("behind", [None, 20_000, FLOOD])
async def test_what_is_read_does_not_grow_with_the_flood(
    connection: Connection, flood: int, owner: int, is_alone: bool, behind: int | None
) -> None:
    """`behind`: an event of another environment comes after so many of the flood."""
    if not is_alone:
        await connection.execute("UPDATE dispatcher.shards SET owner = 8 WHERE shard = 63")
    if behind is not None:
        await connection.execute(
            "UPDATE dispatcher.inbox SET environment_id = 'env_default' WHERE id = $1",
            flood + behind,
        )
    arguments = f"500, {SHARD}::smallint, {owner}, '{{}}', 0, '{{env_flood}}', 20000, {LARGEST_ID}, 2048, 0, 1"
    # Once to find the event, and from there once for rows that are free and once for the others.
    read = await rows_read(connection, "inbox/fan_out", arguments)
    assert READ_LIMIT <= read <= 3.1 * READ_LIMIT


async def test_a_look_for_the_first_event_does_not_grow_with_the_flood(
    connection: Connection, flood: int
) -> None:
    arguments = f"0, {LARGEST_ID}, '{{env_flood}}'"
    assert await rows_read(connection, "inbox/first", arguments) <= 1.1 * READ_LIMIT


@pytest.mark.parametrize(
    ("excluded", "rows_limit"), [("{env_flood}", 2.1 * READ_LIMIT), ("{}", 10)]
)
async def test_a_part_of_a_large_event_reads_no_more_of_a_flood(
    connection: Connection, flood: int, owner: int, excluded: str, rows_limit: float
) -> None:
    arguments = f"200, {SHARD}::smallint, {owner}, '{{}}', 0, '{excluded}', {LARGEST_ID}"
    assert await rows_read(connection, "inbox/fan_out_slice", arguments) <= rows_limit


async def test_without_excluded_environments_only_a_batch_is_read(
    connection: Connection, flood: int, owner: int
) -> None:
    arguments = (
        f"500, {SHARD}::smallint, {owner}, '{{}}', 0, '{{}}', 20000, {LARGEST_ID}, 2048, 0, 1"
    )
    assert await rows_read(connection, "inbox/fan_out", arguments) <= 2_100


async def test_the_events_behind_a_flood_are_found_by_reading_on(
    connection: Connection, session: Session, flood: int, owner: int
) -> None:
    between = flood + 2 * READ_LIMIT - 7
    await connection.execute(
        "UPDATE dispatcher.inbox SET environment_id = 'env_default' WHERE id = $1", between
    )
    event = await rows.event(connection)
    inbox, after_id, read = Inbox(session), 0, []
    for _ in range(4):
        done = await inbox.fan_out(**batch(owner, after_id=after_id))
        read.append((done.picked, done.last_picked, done.last_waiting, done.newest))
        after_id = done.last_waiting or after_id
    assert read == [
        (0, None, flood + READ_LIMIT, event),
        (1, between, flood + 2 * READ_LIMIT, event),
        (1, event, event, event),
        (0, None, None, None),
    ]


async def test_a_look_for_the_first_event_says_where_reading_ended(
    session: Session, flood: int
) -> None:
    inbox, excluded = Inbox(session), ["env_flood"]
    assert await inbox.first(after_id=flood, excluded_environments=excluded) == (
        None,
        flood + READ_LIMIT,
    )
    up_to = flood + READ_LIMIT - 1
    assert await inbox.first(after_id=flood, up_to=up_to, excluded_environments=excluded) == (
        None,
        up_to,
    )


async def test_environments_with_an_order_can_be_excluded_without_their_names(
    connection: Connection, session: Session, owner: int
) -> None:
    elsewhere = await rows.environment(connection, "env_other")
    await rows.endpoint(connection, "*", home=3)
    ordered = await rows.event(connection)
    other = await rows.event(connection, environment=elsewhere)
    done = await Inbox(session).fan_out(**batch(owner, excluded_environments=[""]))
    assert (done.picked, done.last_picked, done.is_unordered) == (1, other, False)
    assert await rows.inbox(connection) == [ordered]


async def test_a_statement_says_that_it_passed_over_environments_of_another_daemon(
    connection: Connection, session: Session, owner: int, dsn: str
) -> None:
    inbox = Inbox(session)
    await rows.event(connection)
    assert not (await inbox.fan_out(**batch(owner, limit=1))).is_unordered
    await rows.endpoint(connection, "*", home=3)
    event = await rows.event(connection)
    async with connected(dsn) as other, other.transaction():
        await other.execute("SELECT 1 FROM dispatcher.ordered_fan_out_lock FOR UPDATE")
        done = await inbox.fan_out(**batch(owner))
        assert (done.picked, done.last_waiting, done.is_unordered) == (0, event, True)
    done = await inbox.fan_out(**batch(owner))
    assert (done.picked, done.last_waiting, done.is_unordered) == (1, event, False)
