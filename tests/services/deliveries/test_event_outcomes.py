"""How the deliveries of events went, for a list of events."""

import pytest

from dispatcher.core import ids
from dispatcher.core.model import Delivery, Outcome
from dispatcher.services.deliveries import event_outcomes
from dispatcher.services.deliveries.event_outcomes import EventOutcome, EventOutcomes
from dispatcher.services.deliveries.history import History as ShownHistory
from dispatcher.store.pool import Pool
from dispatcher.store.queries.deliveries import Deliveries
from dispatcher.store.queries.history import History
from tests.conftest import Connection
from tests.store import rows
from tests.store.rows import DELIVERED, FAILED, RETRIED, result

OURS = "env_default"
CANCELLED = Outcome("http", "gone", "CANCELLED", None, None, None)


@pytest.fixture
def outcomes(pool: Pool) -> EventOutcomes:
    return EventOutcomes(pool)


@pytest.fixture
def store(pool: Pool) -> Deliveries:
    return Deliveries(pool)  # type: ignore[arg-type] # a pool is asked as a session is


async def event(connection: Connection) -> int:
    """An event that has been fanned out."""
    number = await rows.event(connection)
    await connection.execute("DELETE FROM dispatcher.inbox")
    return number


async def of_one(outcomes: EventOutcomes, event_id: int) -> EventOutcome:
    name = ids.event_name(event_id)
    return (await outcomes.of(OURS, [name]))[name]


async def test_each_event_has_its_own_counts(
    connection: Connection, outcomes: EventOutcomes, store: Deliveries
) -> None:
    first, second = await event(connection), await event(connection)
    made: list[Delivery] = []
    for _ in range(5):
        webhook = await rows.endpoint(connection, "*")
        made.append(await rows.delivery(connection, webhook, event_id=first))
    await rows.delivery(connection, await rows.endpoint(connection, "*"), event_id=second)
    for delivery, outcome in zip(made, (DELIVERED, DELIVERED, FAILED, RETRIED), strict=False):
        await store.record([result(delivery, outcome)])
    by_event = await outcomes.of(OURS, [ids.event_name(first), ids.event_name(second)])
    assert by_event[ids.event_name(first)].counts == (
        ("delivered", 2),
        ("failed", 1),
        ("retrying", 1),
        ("waiting", 1),
    )
    assert by_event[ids.event_name(first)].failed_delivery_id == ids.delivery_name(made[2].id)
    assert by_event[ids.event_name(second)].counts == (("waiting", 1),)
    assert by_event[ids.event_name(second)].failed_delivery_id is None


async def test_what_others_send_again_hides_nothing(
    connection: Connection, outcomes: EventOutcomes, store: Deliveries, pool: Pool
) -> None:
    number = await event(connection)
    webhook = await rows.endpoint(connection, "*")
    delivery = await rows.delivery(connection, webhook, event_id=number)
    await store.record([result(delivery, FAILED)])
    await rows.directed(connection, number, webhook, delivery_id=delivery.id, attempt=1)
    await rows.environment(connection, "env_other")
    theirs = await rows.endpoint(connection, "*", environment="env_other")
    other = await rows.event(connection, environment="env_other")
    await connection.execute(
        """INSERT INTO dispatcher.inbox_directed (id, event_id, environment_id, type, endpoint_id, delivery_id, attempt)
           SELECT dispatcher.next_id(), $1, 'env_other', 'user.created', $2, dispatcher.next_id(), 1
           FROM generate_series(1, 1001)""",
        other,
        theirs,
    )
    assert (await of_one(outcomes, number)).counts == (("retrying", 1),)
    listed = await History(pool).of_event(OURS, number, ids.LARGEST_ID, 9)
    assert listed == [delivery.id]


async def test_a_delivery_counts_once_by_its_newest_state(
    connection: Connection, outcomes: EventOutcomes, store: Deliveries
) -> None:
    number = await event(connection)
    webhook = await rows.endpoint(connection, "*")
    delivery = await rows.delivery(connection, webhook, event_id=number)
    await store.record([result(delivery, FAILED)])
    await rows.directed(connection, number, webhook, delivery_id=delivery.id, attempt=1)
    assert (await of_one(outcomes, number)).counts == (("retrying", 1),)
    await connection.execute(
        """WITH sent AS (DELETE FROM dispatcher.inbox)
           INSERT INTO dispatcher.attempts (delivery_id, event_id, endpoint_id, environment_id, type, attempt, started_at,
                                            outcome, duration_ms, state)
           VALUES ($1, $2, $3, 'env_default', 'a', 2, now(), 'ok', 1, 'DELIVERED')""",
        delivery.id,
        number,
        webhook,
    )
    assert (await of_one(outcomes, number)).counts == (("delivered", 1),)


async def test_deliveries_in_quarantine_count_as_pending(
    connection: Connection, outcomes: EventOutcomes, store: Deliveries
) -> None:
    number = await event(connection)
    webhook = await rows.endpoint(connection, "*")
    one = await rows.delivery(connection, webhook, event_id=number)
    assert await store.quarantine(one, "refused")
    assert (await of_one(outcomes, number)).counts == (("retrying", 1),)
    other = await rows.delivery(connection, webhook, event_id=number)
    await store.record([result(other, FAILED)])
    assert (await of_one(outcomes, number)).counts == (("failed", 1), ("retrying", 1))
    await rows.resent_and_quarantined(connection, store, other)
    assert (await of_one(outcomes, number)).counts == (("retrying", 2),)


async def test_an_event_with_all_its_deliveries_counts_them_as_the_statement_does(
    connection: Connection, outcomes: EventOutcomes, store: Deliveries, pool: Pool
) -> None:
    number = await event(connection)
    made: list[Delivery] = []
    for _ in range(7):
        webhook = await rows.endpoint(connection, "*")
        made.append(await rows.delivery(connection, webhook, event_id=number))
    ends = (DELIVERED, FAILED, FAILED, RETRIED, CANCELLED, FAILED)
    for delivery, outcome in zip(made, ends, strict=False):
        await store.record([result(delivery, outcome)])
    await rows.resent_and_quarantined(connection, store, made[5])
    counted = await of_one(outcomes, number)
    assert counted.counts == (
        ("delivered", 1),
        ("failed", 2),
        ("retrying", 2),
        ("waiting", 1),
        ("cancelled", 1),
    )
    assert (
        await ShownHistory(pool).event(OURS, ids.event_name(number))
    ).count_deliveries() == counted


@pytest.mark.parametrize("table", ["inbox", "unvalidated_events", "quarantine"])
async def test_an_event_that_is_not_fanned_out_says_where_it_waits(
    connection: Connection, outcomes: EventOutcomes, table: str
) -> None:
    number = await event(connection)
    columns, values = {
        "inbox": ("id, event_id, environment_id, type", "$1, $1, 'env_default', 'a'"),
        "unvalidated_events": ("id, environment_id, type", "$1, 'env_default', 'a'"),
        "quarantine": (
            "id, event_id, environment_id, type, attempt, reason, detail",
            "$1, $1, 'env_default', 'a', 0, 'schema', ''",
        ),
    }[table]
    await connection.execute(
        f"INSERT INTO dispatcher.{table} ({columns}) VALUES ({values})",  # noqa: S608 - names of our own
        number,
    )
    outcome = await of_one(outcomes, number)
    assert (outcome.place, outcome.counts) == (
        "schema_check" if table == "unvalidated_events" else table,
        (),
    )


async def test_an_event_without_a_delivery_is_told_from_one_that_is_too_old(
    connection: Connection, outcomes: EventOutcomes
) -> None:
    number = await event(connection)
    outcome = await of_one(outcomes, number)
    assert (outcome.place, outcome.counts, outcome.is_kept) == (None, (), True)
    assert not (await of_one(outcomes, number >> 1)).is_kept


async def test_counting_stops_at_a_limit_and_says_so(
    connection: Connection, outcomes: EventOutcomes, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = await event(connection)
    for _ in range(3):
        await rows.delivery(connection, await rows.endpoint(connection, "*"), event_id=number)
    monkeypatch.setattr(event_outcomes, "OUTCOME_COUNT_LIMIT", 3)
    outcome = await of_one(outcomes, number)
    assert (outcome.counts, outcome.is_partial) == ((("waiting", 3),), False)
    monkeypatch.setattr(event_outcomes, "OUTCOME_COUNT_LIMIT", 2)
    outcome = await of_one(outcomes, number)
    assert (outcome.counts, outcome.is_partial) == ((("waiting", 2),), True)


async def test_one_failure_among_many_deliveries_is_counted(
    connection: Connection, outcomes: EventOutcomes
) -> None:
    number = await event(connection)
    webhook = await rows.endpoint(connection, "*")
    await connection.execute(
        """INSERT INTO dispatcher.attempts (delivery_id, event_id, endpoint_id, environment_id, type, attempt, started_at,
                                            outcome, duration_ms, state)
           SELECT dispatcher.next_id(), $1, $2, 'env_default', 'a', 1, now(), 'http', 1,
                  CASE n WHEN 1200 THEN 'FAILED' ELSE 'DELIVERED' END
           FROM generate_series(1, 1200) AS n""",
        number,
        webhook,
    )
    outcome = await of_one(outcomes, number)
    assert outcome.counts == (("delivered", 1199), ("failed", 1))
    assert not outcome.is_partial


async def test_deliveries_of_another_environment_are_not_counted(
    connection: Connection, outcomes: EventOutcomes
) -> None:
    number = await event(connection)
    await rows.delivery(connection, await rows.endpoint(connection, "*"), event_id=number)
    (outcome,) = (await outcomes.of("env_other", [ids.event_name(number)])).values()
    assert outcome.counts == ()
    assert await outcomes.of(OURS, []) == {}
