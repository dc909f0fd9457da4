"""What sending teaches of an endpoint is written in the order in which it was learned."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import pytest

from dispatcher.core.model import Delivery, Endpoint, Outcome
from dispatcher.engine.sending.endpoint_health import EndpointHealth
from dispatcher.store.errors import StoreUnavailableError
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
        health.note(endpoint, Delivery(1, 1, endpoint.id, 0, 0, 0, 0.0), "a.b", outcome)


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


def _resting(seconds: float) -> Outcome:
    return replace(BAD, rest=seconds)
