"""Every reader of an event's deliveries finds all of them, and none of another event."""

from dataclasses import dataclass
from uuid import UUID

import pytest

from dispatcher.core.ids import LARGEST_ID, TIME_SHIFT
from dispatcher.core.model import Delivery
from dispatcher.store.queries.deliveries import Deliveries
from dispatcher.store.queries.delivery_search import DeliverySearch
from dispatcher.store.queries.event_outcomes import EventOutcomes
from dispatcher.store.queries.history import History, HistoryFilter
from dispatcher.store.queries.replicated import Replicated
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.store import rows

OURS = "env_default"
MILLISECOND = 1 << TIME_SHIFT
SEQUENCE = MILLISECOND - 1


@dataclass(frozen=True, slots=True)
class Case:
    """An event with a delivery. Another event of the same millisecond has none."""

    event_id: int
    other_event_id: int
    delivery: Delivery


def moved(number: int, steps: int) -> int:
    """Return another id of the same millisecond."""
    return (number & ~SEQUENCE) | ((number + steps) & SEQUENCE)


@pytest.fixture(params=["of its millisecond", "of a later one", "of an earlier one"])
async def case(connection: Connection, request: pytest.FixtureRequest) -> Case:
    endpoint = await rows.endpoint(connection, "*")
    event_id = await rows.event(connection)
    other_id = moved(event_id, 7)
    await connection.execute(
        "INSERT INTO dispatcher.events (id, type, data) VALUES ($1, 'user.created', '1')", other_id
    )
    await connection.execute("DELETE FROM dispatcher.inbox")
    made = await rows.delivery(connection, endpoint, event_id=event_id)
    ids = {
        "of its millisecond": moved(event_id, 3),
        "of a later one": event_id + MILLISECOND,
        "of an earlier one": event_id - MILLISECOND,  # the clock was set back
    }
    await connection.execute(
        "UPDATE dispatcher.deliveries SET id = $1 WHERE id = $2", ids[request.param], made.id
    )
    made.id = ids[request.param]
    return Case(event_id, other_id, made)


@pytest.fixture(params=["pending", "ended"])
async def state(case: Case, session: Session, request: pytest.FixtureRequest) -> str:
    if request.param == "ended":
        await Deliveries(session).record([rows.result(case.delivery)])
    return str(request.param)


async def test_the_page_of_an_event_lists_its_deliveries_alone(
    case: Case, state: str, session: Session
) -> None:
    read = History(session)
    assert await read.of_event(OURS, case.event_id, LARGEST_ID, 9) == [case.delivery.id]
    assert await read.of_event(OURS, case.other_event_id, LARGEST_ID, 9) == []
    assert await read.of_event("env_other", case.event_id, LARGEST_ID, 9) == []


async def test_a_search_by_events_finds_their_deliveries_alone(
    case: Case, state: str, session: Session
) -> None:
    search, all_of_them = DeliverySearch(session), HistoryFilter()
    both = [case.event_id, case.other_event_id]
    assert await search.of_events(OURS, both, all_of_them, 9) == [case.delivery.id]
    assert await search.of_events(OURS, both[1:], all_of_them, 9) == []


async def test_a_search_by_events_finds_deliveries_in_quarantine(
    case: Case, session: Session
) -> None:
    assert await Deliveries(session).quarantine(case.delivery, "refused")
    search, both = DeliverySearch(session), [case.event_id, case.other_event_id]
    assert await search.of_events(OURS, both, HistoryFilter(), 9) == [case.delivery.id]
    assert await search.of_events(OURS, both[1:], HistoryFilter(), 9) == []


async def test_the_outcomes_of_events_count_their_own_deliveries(
    case: Case, state: str, session: Session
) -> None:
    outcomes = await EventOutcomes(session).of_events(OURS, [case.event_id, case.other_event_id], 9)
    counts = {row["id"]: (row["waiting"], row["delivered"]) for row in outcomes}
    expected = (1, 0) if state == "pending" else (0, 1)
    assert counts == {case.event_id: expected, case.other_event_id: (0, 0)}


async def test_a_replay_counts_an_event_as_missed_only_without_a_delivery(
    connection: Connection, case: Case, state: str
) -> None:
    other = await rows.endpoint(connection, "*")
    assert await missed(connection, case, case.delivery.endpoint_id) == [case.other_event_id]
    assert await missed(connection, case, other) == sorted([case.event_id, case.other_event_id])


async def missed(connection: Connection, case: Case, endpoint: UUID) -> list[int]:
    records = await connection.fetch(
        """SELECT event_id FROM dispatcher.replayable($1, $2, $3, $4, true, 100)
           WHERE event_id IS NOT NULL ORDER BY event_id""",
        OURS,
        endpoint,
        case.event_id - 2 * MILLISECOND,
        case.event_id + 2 * MILLISECOND,
    )
    return [row["event_id"] for row in records]


async def test_a_replicated_event_is_sent_only_without_a_delivery(
    connection: Connection, case: Case, state: str, session: Session
) -> None:
    await connection.execute(
        """INSERT INTO dispatcher.replicated_events (event_id, environment_id, type)
           SELECT unnest($1::bigint[]), 'env_default', 'user.created'""",
        [case.event_id, case.other_event_id],
    )
    adopted = await Replicated(session).adopt(after_seconds=0, limit=9, too_old_below=0)
    assert dict(adopted) == {case.event_id: "known", case.other_event_id: "inbox"}


async def test_an_event_is_kept_for_its_pending_delivery(
    connection: Connection, case: Case, state: str
) -> None:
    bound = (case.event_id | SEQUENCE) + 1
    is_referenced = await connection.fetchval("SELECT dispatcher.events_are_referenced($1)", bound)
    assert is_referenced is (state == "pending")
