"""Sessions of the store on the test's database."""

from collections.abc import AsyncIterator

import pytest

from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.store.rows import DAEMON


@pytest.fixture
async def session(dsn: str) -> AsyncIterator[Session]:
    opened = Session(dsn, "test")
    yield opened
    await opened.close()


@pytest.fixture
async def other(dsn: str) -> AsyncIterator[Session]:
    """A second session, for what happens at the same time."""
    opened = Session(dsn, "other")
    yield opened
    await opened.close()


@pytest.fixture
async def owner(connection: Connection) -> int:
    """A daemon that owns every shard."""
    await connection.execute(
        "INSERT INTO dispatcher.daemons (id, renewed_at) VALUES ($1, now())", DAEMON
    )
    await connection.execute("UPDATE dispatcher.shards SET owner = $1", DAEMON)
    return DAEMON


@pytest.fixture(scope="module", params=["taken while empty", "taken now"])
async def believing(filled: Connection, request: pytest.FixtureRequest) -> Connection:
    """Give the filled database of a module, with such statistics of the planner's."""
    if request.param == "taken now":
        await filled.execute("VACUUM ANALYZE")
    return filled
