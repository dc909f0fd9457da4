"""Reading history, statement by statement: how far each looks, and what it finds there."""

from dataclasses import replace
from uuid import uuid4

import pytest

from dispatcher.core.ids import LARGEST_ID, TIME_SHIFT
from dispatcher.core.model import Delivery
from dispatcher.store.queries.deliveries import Deliveries
from dispatcher.store.queries.delivery_actions import DeliveryActions
from dispatcher.store.queries.delivery_search import DeliverySearch
from dispatcher.store.queries.environments import Environments
from dispatcher.store.queries.event_outcomes import EventOutcomes
from dispatcher.store.queries.history import History, HistoryFilter
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.store import rows
from tests.store.rows import DELIVERED, FAILED, RETRIED, result

OURS = "env_default"
ALL = HistoryFilter()
HOUR_MS = 3_600_000


@pytest.fixture
def read(session: Session) -> History:
    return History(session)


@pytest.fixture
def store(session: Session) -> Deliveries:
    return Deliveries(session)


def newest_first(*deliveries: Delivery) -> list[int]:
    return [delivery.id for delivery in reversed(deliveries)]


async def test_the_endpoints_of_an_environment_include_deleted_ones(
    connection: Connection, read: History
) -> None:
    await rows.environment(connection, "env_other")
    foreign = await rows.endpoint(connection, environment="env_other")
    ours = {await rows.endpoint(connection), await rows.endpoint(connection, deleted=True)}
    assert set(await read.endpoints(OURS, None, 10)) == ours
    assert len(await read.endpoints(OURS, None, 1)) == 1
    assert [await read.endpoints(OURS, id_, 10) for id_ in ours] == [[id_] for id_ in ours]
    assert await read.endpoints(OURS, foreign, 10) == []
    assert await read.endpoints(OURS, uuid4(), 10) == []


async def test_a_listing_stops_at_its_limit_and_returns_how_far_it_read(
    connection: Connection, read: History, store: Deliveries
) -> None:
    one, other = [await rows.endpoint(connection) for _ in range(2)]
    made = [await rows.delivery(connection, one) for _ in range(6)]
    late = await rows.delivery(connection, other)
    every = newest_first(*made, late)

    seen = await read.of_endpoints([one, other], ALL, 4, 100)
    assert (seen.ids, seen.horizon) == (every[:5], made[2].id)
    seen = await read.of_endpoints([one, other], HistoryFilter(high=made[2].id), 4, 100)
    assert (seen.ids, seen.horizon) == (every[5:], None)
    seen = await read.of_endpoints([one, other], ALL, 7, 3)
    assert (seen.ids, seen.horizon) == (every[:3], None)
    seen = await read.of_endpoints([one], HistoryFilter(low=made[1].id, high=made[3].id), 9, 9)
    assert (seen.ids, seen.horizon) == (newest_first(made[1], made[2]), None)
    assert (await read.of_endpoints([], ALL, 9, 9)).ids == []

    seen = await read.of_environment(OURS, ALL, 4, 100)
    assert (seen.ids, seen.horizon) == (every[:4], made[3].id)
    seen = await read.of_environment("env_other", ALL, 4, 100)
    assert (seen.ids, seen.horizon) == ([], made[3].id)
    await store.record([result(delivery) for delivery in made])
    seen = await read.of_environment(OURS, HistoryFilter(status="DELIVERED"), 2, 100)
    assert (seen.ids, seen.horizon) == (newest_first(*made)[:2], made[4].id)


async def test_a_page_ends_where_one_kind_of_row_was_cut_short(
    connection: Connection, read: History, store: Deliveries
) -> None:
    """The two newest pending ones are all older than the ended ones that were not looked at."""
    endpoint = await rows.endpoint(connection)
    made = [await rows.delivery(connection, endpoint) for _ in range(8)]
    await store.record([result(delivery) for delivery in made[3:]])
    seen = await read.of_endpoints([endpoint], ALL, 2, 100)
    assert (seen.ids, seen.horizon) == (newest_first(*made)[:2], made[6].id)


async def test_a_delivery_with_several_ends_is_read_completely(
    connection: Connection, read: History, store: Deliveries
) -> None:
    endpoint = await rows.endpoint(connection)
    old, often = [await rows.delivery(connection, endpoint) for _ in range(2)]
    await store.record([result(old)])
    await store.record([result(often, FAILED)])
    for number in range(1, 5):
        await rows.directed(
            connection, often.event_id, endpoint, delivery_id=often.id, attempt=number
        )
        await connection.execute(
            """WITH gone AS (DELETE FROM dispatcher.inbox WHERE delivery_id IS NOT NULL RETURNING *)
               INSERT INTO dispatcher.deliveries (id, event_id, endpoint_id, environment_id, type, next_at, shard, attempt)
               SELECT delivery_id, event_id, endpoint_id, environment_id, type, now(), 3, attempt FROM gone"""
        )
        last = DELIVERED if number == 4 else FAILED
        await store.record([result(replace(often, attempt=number), last)])
    # The index knows no order of the ends: an old one written again is the first to be found.
    moved = "DELETE FROM dispatcher.attempts WHERE attempt = 2 RETURNING *"
    await connection.execute(
        f"WITH gone AS ({moved}) INSERT INTO dispatcher.attempts SELECT * FROM gone"  # noqa: S608
    )
    for look in (
        await read.of_endpoints([endpoint], HistoryFilter(status="DELIVERED"), 1, 9),
        await read.of_environment(OURS, HistoryFilter(status="DELIVERED"), 1, 9),
    ):
        assert (look.ids, look.horizon) == ([often.id], often.id)
    assert (await read.of_endpoints([endpoint], HistoryFilter(status="FAILED"), 9, 9)).ids == []
    (item,) = await read.items(OURS, [often.id])
    assert (item["status"], item["attempts"]) == ("DELIVERED", 5)


async def test_a_retried_delivery_is_not_listed_as_failed(
    connection: Connection, read: History, store: Deliveries
) -> None:
    endpoint = await rows.endpoint(connection)
    sent = await rows.delivery(connection, endpoint)
    await store.record([result(sent, FAILED)])
    listings = []
    for state in ("ended", "in the inbox", "pending"):
        if state == "in the inbox":
            await rows.directed(connection, sent.event_id, endpoint, delivery_id=sent.id)
        if state == "pending":
            await connection.execute(
                """WITH gone AS (DELETE FROM dispatcher.inbox WHERE delivery_id IS NOT NULL RETURNING *)
                   INSERT INTO dispatcher.deliveries (id, event_id, endpoint_id, environment_id, type, next_at, shard)
                   SELECT delivery_id, event_id, endpoint_id, environment_id, type, now(), 3 FROM gone"""
            )
        one = await read.of_endpoints([endpoint], HistoryFilter(status="FAILED"), 9, 9)
        every = await read.of_environment(OURS, HistoryFilter(status="FAILED"), 9, 9)
        listings.append((one.ids, every.ids))
    assert listings == [([sent.id], [sent.id]), ([], []), ([], [])]


async def test_a_type_filter_matches_exactly_and_a_prefix_by_its_text(
    connection: Connection, read: History
) -> None:
    endpoint = await rows.endpoint(connection)
    delivery = await rows.delivery(connection, endpoint)
    for filter_, is_listed in {
        HistoryFilter(type="user.created"): True,
        HistoryFilter(type="user.create"): False,
        HistoryFilter(type="user_created"): False,
        HistoryFilter(type="user.*", prefix="user."): True,
        HistoryFilter(type="use_.*", prefix="use_."): False,
        HistoryFilter(type="%.*", prefix="%."): False,
    }.items():
        ids = [delivery.id] if is_listed else []
        assert (await read.of_endpoints([endpoint], filter_, 9, 9)).ids == ids
        assert (await read.of_environment(OURS, filter_, 9, 9)).ids == ids


async def test_the_deliveries_of_an_event_are_listed_in_every_state(
    connection: Connection, read: History, store: Deliveries
) -> None:
    event, other = await rows.event(connection), await rows.event(connection)
    made = [
        await rows.delivery(connection, await rows.endpoint(connection), event_id=event)
        for _ in range(4)
    ]
    await rows.delivery(connection, made[0].endpoint_id, event_id=other)
    await store.record([result(made[0]), result(made[1], FAILED), result(made[2], RETRIED)])
    await rows.directed(connection, event, made[1].endpoint_id, delivery_id=made[1].id, attempt=1)
    assert await read.of_event(OURS, event, LARGEST_ID, 9) == newest_first(*made)
    assert await read.of_event(OURS, event, made[3].id, 2) == newest_first(made[1], made[2])
    assert await read.of_event("env_other", event, LARGEST_ID, 9) == []


async def test_items_and_attempts_belong_to_the_given_environment(
    connection: Connection, read: History, store: Deliveries
) -> None:
    endpoint = await rows.endpoint(connection)
    pending, ended = [await rows.delivery(connection, endpoint) for _ in range(2)]
    await store.record([result(ended), result(pending, RETRIED)])
    items = await read.items(OURS, [pending.id, ended.id, 5])
    assert [(row["id"], row["status"]) for row in items] == [
        (ended.id, "DELIVERED"),
        (pending.id, "PENDING"),
    ]
    assert await read.items("env_other", [pending.id, ended.id]) == []
    assert len(await read.attempts(OURS, pending.id, 9)) == 1
    assert await read.attempts(OURS, pending.id, 0) == []
    assert await read.attempts("env_other", pending.id, 9) == []


async def test_data_is_read_only_up_to_a_size(connection: Connection, read: History) -> None:
    small, large = (
        await rows.event(connection, data='"é"'),
        await rows.event(connection, data='"éa"'),
    )
    assert await read.payloads([small, large, 5], 4) == {
        small: (4, '"é"', None),
        large: (5, None, None),
    }
    items = await read.event_items(OURS, [small, large, 5], 4)
    assert [(row["id"], row["size"], row["data"]) for row in items] == [
        (large, 5, None),
        (small, 4, '"é"'),
    ]
    assert await read.event_items("env_other", [small], 4) == []


async def test_events_are_found_among_those_of_all_environments(
    connection: Connection, read: History
) -> None:
    await rows.environment(connection, "env_other")
    ours = [await rows.event(connection) for _ in range(2)]
    foreign = [await rows.event(connection, environment="env_other") for _ in range(3)]
    seen = await read.events(OURS, ALL, 3, 9)
    assert (seen.ids, seen.horizon) == ([], foreign[0])
    seen = await read.events(OURS, HistoryFilter(high=foreign[0]), 3, 9)
    assert (seen.ids, seen.horizon) == (ours[::-1], None)
    assert await read.waiting(ours[0]) == "inbox"
    assert await read.waiting(5) is None


async def test_deliveries_in_quarantine_are_listed_as_pending(
    connection: Connection, read: History, store: Deliveries
) -> None:
    await rows.environment(connection, "env_other")
    foreign = await rows.endpoint(connection, environment="env_other")
    endpoint = await rows.endpoint(connection)
    made = [await rows.delivery(connection, endpoint) for _ in range(4)]
    theirs = await rows.delivery(connection, foreign)
    for delivery in (*made[:3], theirs):
        assert await store.quarantine(delivery, "refused")
    pending = HistoryFilter(status="PENDING")
    for filter_ in (ALL, pending):
        assert (await read.of_endpoints([endpoint], filter_, 9, 9)).ids == newest_first(*made)
        assert (await read.of_environment(OURS, filter_, 9, 9)).ids == newest_first(*made)
        assert (await read.of_endpoints([foreign], filter_, 9, 9)).ids == [theirs.id]
        assert (await read.of_environment("env_other", filter_, 9, 9)).ids == [theirs.id]
    for cut in (
        await read.of_endpoints([endpoint], pending, 2, 9),
        await read.of_environment(OURS, pending, 2, 9),
    ):
        assert (cut.ids, cut.horizon) == (newest_first(*made[1:]), made[1].id)
    between = HistoryFilter(low=made[1].id, high=made[2].id)
    assert (await read.of_endpoints([endpoint], between, 9, 9)).ids == [made[1].id]
    assert (await read.of_environment(OURS, between, 9, 9)).ids == [made[1].id]
    (item,) = await read.items(OURS, [made[0].id])
    assert (item["status"], item["error"]) == ("PENDING", "in quarantine: refused")


async def test_a_failed_delivery_in_quarantine_is_not_listed_as_failed(
    connection: Connection, session: Session, read: History, store: Deliveries
) -> None:
    endpoint = await rows.endpoint(connection)
    one = await rows.delivery(connection, endpoint)
    await store.record([result(one, FAILED)])
    await rows.resent_and_quarantined(connection, store, one)
    failed, pending = HistoryFilter(status="FAILED"), HistoryFilter(status="PENDING")
    assert (await read.of_endpoints([endpoint], failed, 9, 9)).ids == []
    assert (await read.of_environment(OURS, failed, 9, 9)).ids == []
    assert (await read.of_endpoints([endpoint], pending, 9, 9)).ids == [one.id]
    assert (await read.of_environment(OURS, pending, 9, 9)).ids == [one.id]
    search = DeliverySearch(session)
    assert (await search.failed(OURS, failed, 9, 9)).ids == []
    assert (await search.causes(OURS, failed, 9)).causes == []


async def test_what_ended_after_the_clock_was_set_back_is_found(
    connection: Connection, session: Session, read: History, store: Deliveries
) -> None:
    """Its attempts have lower ids than the delivery, and than its event."""
    endpoint = await rows.endpoint(connection)
    made = await rows.delivery(connection, endpoint)
    hours = (20 * HOUR_MS) << TIME_SHIFT
    event = made.event_id + hours
    await connection.execute(
        "INSERT INTO dispatcher.events (id, type, data) VALUES ($1, 'user.created', '1')", event
    )
    one = replace(made, id=made.id + hours, event_id=event)
    await connection.execute(
        "UPDATE dispatcher.deliveries SET id = $1, event_id = $2", one.id, event
    )
    await store.record([result(one, RETRIED)])
    await store.record([result(replace(one, attempt=1), FAILED)])
    (item,) = await read.items(OURS, [one.id])
    assert (item["status"], item["attempts"]) == ("FAILED", 2)
    assert [row["attempt"] for row in await read.attempts(OURS, one.id, 9)] == [1, 2]
    assert await read.of_event(OURS, event, LARGEST_ID, 9) == [one.id]
    assert (await read.of_endpoints([endpoint], ALL, 9, 9)).ids == [one.id]
    assert await Environments(session).of_delivery(one.id) == OURS
    (outcome,) = await EventOutcomes(session).of_events(OURS, [event], 9)
    assert outcome["failed_id"] == one.id
    (state_row,) = await DeliveryActions(session).find([one.id], OURS)
    assert (state_row["state"], state_row["status"], state_row["attempt"]) == ("ENDED", "FAILED", 2)
    late = result(replace(one, attempt=7))
    assert await store.record_late([late]) == {one.id}
    assert await store.record_late([late]) == set()
