"""Owned shards and statistics of the test's database."""

import pytest

from tests.conftest import Connection
from tests.store.rows import DAEMON


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
    """Return the module's filled database, with statistics taken while it was empty, or now."""
    if request.param == "taken now":
        await filled.execute("VACUUM ANALYZE")
    return filled
