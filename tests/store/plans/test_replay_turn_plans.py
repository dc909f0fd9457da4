"""Whose replay is next is found by an index, however many replays other environments have."""

from collections.abc import AsyncIterator

import pytest

from dispatcher.store.connection.plan_settings import plan_settings
from tests.conftest import Connection, _database, connected, with_database
from tests.store.plans.plan import ENDPOINT, MEASURED, NO_AUTOVACUUM, explain

pytestmark = pytest.mark.long

FILL = """
INSERT INTO dispatcher.environments (id, name) VALUES ('env_a', ''), ('env_m', '');
INSERT INTO dispatcher.endpoints (id, environment_id, name, url, secret, version)
  SELECT pg_temp.endpoint(n), CASE WHEN n = 1 THEN 'env_m' ELSE 'env_a' END, 'n', 'u', '', 1
  FROM generate_series(1, 5000) AS n;
INSERT INTO dispatcher.replays (environment_id, endpoint_id, since, until, missed, position, next_at)
  SELECT environment_id, id, now(), now(), true, 1, now() - interval '1 h' FROM dispatcher.endpoints;
"""
FEW = 20
"""Blocks: of lookups in an index, and of the catalogue."""


@pytest.fixture(scope="module")
async def filled(server: str, maintenance: Connection, template: str) -> AsyncIterator[Connection]:
    async with (
        _database(maintenance, template) as name,
        connected(with_database(server, name)) as connection,
    ):
        await connection.execute(NO_AUTOVACUUM)
        await connection.execute("VACUUM ANALYZE")
        await connection.execute(ENDPOINT)
        await connection.execute(FILL)
        yield connection


@pytest.fixture(scope="module", params=["taken while empty", "taken now"])
async def statistics(filled: Connection, request: pytest.FixtureRequest) -> Connection:
    """The database, with such statistics."""
    if request.param == "taken now":
        await filled.execute("ANALYZE")
    return filled


@pytest.mark.parametrize("mode", ["generic", "custom"])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("replays/next_environment", "'env_a'"),
        ("replays/next_environment", "'env_m'"),
        ("replays/claim", "1000, 5000, 'env_a'"),
        ("replays/claim", "1000, 5000, 'env_m'"),
        ("replays/next", ""),
    ],
)
async def test_the_next_replay_is_found_by_an_index(
    statistics: Connection, mode: str, name: str, arguments: str
) -> None:
    settings = plan_settings("upkeep")
    await explain(statistics, name, arguments, mode, MEASURED, settings)
    plan = await explain(statistics, name, arguments, mode, MEASURED, settings)
    assert plan.blocks < FEW, plan.root
    assert not [
        n for n in plan.nodes if (n["Node Type"], n.get("Relation Name")) == ("Seq Scan", "replays")
    ]
