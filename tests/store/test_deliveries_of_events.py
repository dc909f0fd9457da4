"""The deliveries of an event: most have ids of its millisecond, and every reader finds all of them."""

from dataclasses import dataclass
from uuid import UUID

import pytest

from dispatcher.core.ids import LARGEST_ID, TIME_SHIFT
from dispatcher.core.model import Delivery
from dispatcher.store.deliveries import Deliveries
from dispatcher.store.delivery_search import DeliverySearch
from dispatcher.store.event_outcomes import EventOutcomes
from dispatcher.store.history import History, HistoryFilter
from dispatcher.store.inbox import Inbox
from dispatcher.store.replicated import Replicated
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


async def test_the_page_of_an_event(case: Case, state: str, session: Session) -> None:
    read = History(session)
    assert await read.of_event(OURS, case.event_id, LARGEST_ID, 9) == [case.delivery.id]
    assert await read.of_event(OURS, case.other_event_id, LARGEST_ID, 9) == []
    assert await read.of_event("env_other", case.event_id, LARGEST_ID, 9) == []


async def test_a_search_by_events(case: Case, state: str, session: Session) -> None:
    search, all_of_them = DeliverySearch(session), HistoryFilter()
    both = [case.event_id, case.other_event_id]
    assert await search.of_events(OURS, both, all_of_them, 9) == [case.delivery.id]
    assert await search.of_events(OURS, both[1:], all_of_them, 9) == []


async def test_the_outcomes_of_a_list_of_events(case: Case, state: str, session: Session) -> None:
    found = await EventOutcomes(session).of_events(OURS, [case.event_id, case.other_event_id], 9)
    counts = {row["id"]: (row["waiting"], row["delivered"]) for row in found}
    expected = (1, 0) if state == "pending" else (0, 1)
    assert counts == {case.event_id: expected, case.other_event_id: (0, 0)}


async def test_a_replay_of_missed_events(connection: Connection, case: Case, state: str) -> None:
    other = await rows.endpoint(connection, "*")
    assert await missed(connection, case, case.delivery.endpoint_id) == [case.other_event_id]
    assert await missed(connection, case, other) == sorted([case.event_id, case.other_event_id])


async def missed(connection: Connection, case: Case, endpoint: UUID) -> list[int]:
    found = await connection.fetch(
        """SELECT event_id FROM dispatcher.replayable($1, $2, $3, $4, true, 100)
           WHERE event_id IS NOT NULL ORDER BY event_id""",
        OURS,
        endpoint,
        case.event_id - 2 * MILLISECOND,
        case.event_id + 2 * MILLISECOND,
    )
    return [row["event_id"] for row in found]


async def test_replicated_events(
    connection: Connection, case: Case, state: str, session: Session
) -> None:
    await connection.execute(
        """INSERT INTO dispatcher.replicated_events (event_id, environment_id, type)
           SELECT unnest($1::bigint[]), 'env_default', 'user.created'""",
        [case.event_id, case.other_event_id],
    )
    found = await Replicated(session).adopt(after_seconds=0, limit=9, too_old_below=0)
    assert dict(found) == {case.event_id: "known", case.other_event_id: "sent"}


async def test_retention(connection: Connection, case: Case, state: str) -> None:
    bound = (case.event_id | SEQUENCE) + 1
    is_referenced = await connection.fetchval("SELECT dispatcher.events_are_referenced($1)", bound)
    assert is_referenced is (state == "pending")


@pytest.mark.parametrize(
    ("age_ms", "in_its_millisecond"), [(0, True), (2_000, True), (6_000, False), (-60_000, False)]
)
async def test_an_id_is_of_the_millisecond_of_a_young_event(
    connection: Connection, age_ms: int, in_its_millisecond: bool
) -> None:
    event_id, now, id_ = await connection.fetchrow(  # type: ignore[misc]
        """SELECT e.id, dispatcher.next_id(), dispatcher.delivery_id(e.id)
           FROM (SELECT dispatcher.next_id() - ($1::bigint << 22) AS id OFFSET 0) AS e""",
        age_ms,
    )
    assert (id_ >> TIME_SHIFT == event_id >> TIME_SHIFT) is in_its_millisecond
    assert in_its_millisecond or id_ > now


async def test_an_id_is_above_its_events_where_the_sequence_begins_again(
    connection: Connection,
) -> None:
    event_id = await connection.fetchval(
        "SELECT dispatcher.next_id() | 4194303 FROM setval('dispatcher.id_seq', 4194303)"
    )
    id_ = await connection.fetchval("SELECT dispatcher.delivery_id($1)", event_id)
    assert event_id < id_ < event_id + 100


async def test_a_fan_out_draws_such_ids(
    connection: Connection, session: Session, owner: int
) -> None:
    """But for an ordered endpoint the ids have the order of the fan-out, also of late commits."""
    plain = await rows.endpoint(connection, "*")
    ordered = await rows.endpoint(connection, "*", home=41)
    late, early = await rows.event(connection), await rows.event(connection)
    await fan_out(session, owner, early)
    await fan_out(session, owner, late)
    made = await rows.deliveries(connection)
    in_order = [row["event_id"] for row in made if row["endpoint_id"] == ordered]
    assert in_order == [early, late]
    for _ in range(10):  # a machine may stop for more than 4 s, but not again and again
        event_id = await rows.event(connection)
        await fan_out(session, owner, event_id)
        if await connection.fetchval(
            "SELECT id BETWEEN $1 AND $1 | 4194303 FROM dispatcher.deliveries WHERE event_id = $1 AND endpoint_id = $2",
            event_id,
            plain,
        ):
            return
    pytest.fail("no delivery had an id of its event's millisecond")


async def fan_out(session: Session, owner: int, event_id: int) -> None:
    done = await Inbox(session).fan_out(
        limit=1, shard=5, daemon=owner, saturated=[], after_id=event_id - 1, up_to=event_id
    )
    assert done.picked == 1
