"""What sending teaches of an endpoint is written in the order in which it was learned."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from dispatcher.core.model import Endpoint, Outcome
from dispatcher.engine.sending.endpoint_health import EndpointHealth
from dispatcher.engine.sending.recorder import Recorder
from dispatcher.store.errors import StoreUnavailableError
from dispatcher.store.queries.deliveries import Deliveries
from dispatcher.store.queries.endpoints import Endpoints
from dispatcher.store.queries.events import Events
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.core.test_request_headers import ENDPOINT
from tests.store import rows

GOOD = Outcome("ok", None, "DELIVERED", None, None, None)
BAD = Outcome("http", "answered 500", None, 1.0, None, None)


@pytest.fixture
async def endpoint(connection: Connection) -> Endpoint:
    return _like(await rows.endpoint(connection))


@pytest.fixture
def health(session: Session) -> EndpointHealth:
    return EndpointHealth(Endpoints(session), Events(session), disable_after=86_400.0)


def _like(endpoint_id: UUID) -> Endpoint:
    return replace(ENDPOINT, id=endpoint_id)


def note(health: EndpointHealth, endpoint: Endpoint, outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        health.note(endpoint, outcome)


async def failing(connection: Connection) -> tuple[bool, int]:
    row = await connection.fetchrow(
        "SELECT failing_since, failures FROM dispatcher.endpoint_health"
    )
    return (False, 0) if row is None else (row["failing_since"] is not None, row["failures"])


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([BAD], (True, 1)),
        ([BAD, BAD], (True, 2)),
        ([BAD, GOOD], (False, 0)),
        ([GOOD, BAD], (True, 1)),
        ([BAD, BAD, GOOD, BAD], (True, 1)),
        ([BAD, GOOD, BAD, GOOD], (False, 0)),
    ],
)
async def test_the_last_result_decides_the_health(
    connection: Connection,
    health: EndpointHealth,
    endpoint: Endpoint,
    outcomes: Sequence[Outcome],
    expected: tuple[bool, int],
) -> None:
    note(health, endpoint, outcomes)
    await health.run_once()
    assert await failing(connection) == expected


@pytest.mark.parametrize("is_moved", [False, True])
async def test_a_410_disables_the_webhook_as_long_as_it_has_that_url(
    connection: Connection, health: EndpointHealth, endpoint: Endpoint, *, is_moved: bool
) -> None:
    url = "http://new.example/" if is_moved else endpoint.url
    await connection.execute("UPDATE dispatcher.endpoints SET url = $1", url)
    note(health, endpoint, [Outcome("http", "answered 410", None, 10.0, None, "gone")])
    await health.run_once()
    assert await connection.fetchval("SELECT active FROM dispatcher.endpoints") is is_moved


async def test_a_late_note_of_an_earlier_result_changes_nothing(
    connection: Connection, health: EndpointHealth, endpoint: Endpoint, session: Session
) -> None:
    note(health, endpoint, [BAD])
    fetch = session.fetch

    async def refused(*_: object) -> list[object]:
        note(health, endpoint, [GOOD])
        raise StoreUnavailableError("away")

    session.fetch = refused  # type: ignore[method-assign, assignment] # as when the database is away
    with pytest.raises(StoreUnavailableError):
        await health.run_once()
    session.fetch = fetch  # type: ignore[method-assign]
    await health.run_once()
    assert await failing(connection) == (False, 0)


async def test_a_shorter_rest_that_is_noted_while_a_write_fails_ends_no_longer_one(
    connection: Connection, health: EndpointHealth, endpoint: Endpoint, session: Session
) -> None:
    note(health, endpoint, [_resting(3600.0)])
    fetch = session.fetch

    async def refused(*_: object) -> list[object]:
        note(health, endpoint, [_resting(1.0)])
        raise StoreUnavailableError("away")

    session.fetch = refused  # type: ignore[method-assign, assignment] # as when the database is away
    with pytest.raises(StoreUnavailableError):
        await health.run_once()
    session.fetch = fetch  # type: ignore[method-assign]
    await health.run_once()
    left = await connection.fetchval(
        "SELECT extract(epoch FROM resting_until - clock_timestamp()) FROM dispatcher.endpoint_health"
    )
    assert left > 3000


async def test_lost_answers_make_no_event_about_a_failed_delivery_be_missing_or_come_twice(
    connection: Connection, health: EndpointHealth, session: Session
) -> None:
    await rows.endpoint(connection, "delivery.exhausted")
    delivery = await rows.delivery(connection, await rows.endpoint(connection, "user.*"))
    recorder = Recorder(
        Deliveries(session),
        kept=lambda: range(64),
        on_recorded=lambda *_: None,
        on_late=lambda _: None,
        on_unrecordable=lambda _: None,
        on_room=lambda: None,
        on_batch=health.note_recorded,
    )
    recorder.put(rows.result(delivery, replace(BAD, state="FAILED", delay=None)))
    for run_once in (recorder.run_once, health.run_once):
        with _losing_answers(session), pytest.raises(StoreUnavailableError):
            await run_once()
        await run_once()
    assert await _exhausted(connection) == [f"dlv_{delivery.id}"]


async def test_a_late_failure_of_a_delivery_that_went_on_makes_no_event(
    connection: Connection, health: EndpointHealth, session: Session
) -> None:
    """Another daemon has sent it again, or somebody has cancelled it."""
    await rows.endpoint(connection, "delivery.exhausted")
    delivery = await rows.delivery(connection, await rows.endpoint(connection, "user.*"))
    await Deliveries(session).record([rows.result(delivery)])
    late = rows.result(delivery, replace(BAD, state="FAILED", delay=None))
    assert await Deliveries(session).record([late]) == {}
    assert await Deliveries(session).record_late([late]) == {delivery.id}
    health.note_recorded([late])
    await health.run_once()
    assert await _exhausted(connection) == []


async def _exhausted(connection: Connection) -> list[str]:
    records = await connection.fetch(
        "SELECT data->>'delivery_id' AS id FROM dispatcher.events WHERE type = 'delivery.exhausted'"
    )
    return [row["id"] for row in records]


@contextmanager
def _losing_answers(session: Session) -> Iterator[None]:
    """Let each statement of the session be committed, and its answer be lost."""
    fetch = session.fetch

    async def losing(*arguments: Any) -> list[object]:
        await fetch(*arguments)
        raise StoreUnavailableError("away")

    session.fetch = losing  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        session.fetch = fetch  # type: ignore[method-assign]


def _resting(seconds: float) -> Outcome:
    return replace(BAD, rest=seconds)
