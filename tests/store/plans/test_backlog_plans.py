"""How much is read to measure the backlog: so many rows of each kind, found by index.

This holds whatever the planner believes.
"""

from collections.abc import AsyncIterator

import pytest

from dispatcher.store.statements import statement
from tests.conftest import Connection
from tests.store.rows_read import filled_database, rows_read

pytestmark = pytest.mark.long

WEBHOOKS = 1000
LIMIT = 500
# Deliveries are of four kinds: due, scheduled, parked, and of disabled webhooks.
FILL = """
INSERT INTO dispatcher.endpoints (id, environment_id, name, url, secret, version, active)
  SELECT pg_temp.endpoint(n), 'env_default', 'n', 'u', '', n, n % 10 <> 0 FROM generate_series(1, 1000) AS n;
INSERT INTO dispatcher.endpoint_health (endpoint_id, failing_since)
  SELECT pg_temp.endpoint(n), now() FROM generate_series(1, 1000) AS n;
INSERT INTO dispatcher.deliveries (id, event_id, endpoint_id, environment_id, type, next_at, shard, parked)
  SELECT 4 * n + k, n, pg_temp.endpoint(CASE k WHEN 3 THEN 10 + n % 10 * 10 ELSE 1 + n % 100 * 10 END), 'env_default', 'a',
         now() + CASE k WHEN 1 THEN 1 ELSE -1 END * make_interval(secs => 10 + n % 10), n % 64, k = 2
  FROM generate_series(1, 20000) AS n, generate_series(0, 3) AS k;
INSERT INTO dispatcher.inbox (id, event_id, environment_id, type)
  SELECT n, n, 'env_default', 'a' FROM generate_series(1, 20000) AS n;
INSERT INTO dispatcher.quarantine (id, event_id, environment_id, type, attempt, reason, detail)
  SELECT n, n, 'env_default', 'a', 0, 'r', 'd' FROM generate_series(1, 20000) AS n;
"""
TABLES = "deliveries|inbox|unvalidated_events|quarantine|endpoints|endpoint_health|environments"


@pytest.fixture(scope="module")
async def filled(server: str, maintenance: Connection, template: str) -> AsyncIterator[Connection]:
    async with filled_database(
        server, maintenance, template, fill=FILL, settings="SET jit = off"
    ) as connection:
        yield connection


async def read(connection: Connection, name: str, *arguments: object) -> int:
    return await rows_read(connection, TABLES, f"statistics/{name}", *arguments)


async def test_the_backlog_reads_a_limited_number_of_rows_of_each_kind(
    believing: Connection,
) -> None:
    rows = await believing.fetch(statement("statistics/pending_by_state"), LIMIT)
    has_more = {row["state"]: row["more"] for row in rows}
    assert has_more == {"due": True, "scheduled": True, "held": True}
    # Of each of four kinds so many, twenty of each shard, each webhook once or twice.
    bound = 4 * LIMIT + 64 * 20 + 3 * WEBHOOKS
    assert await read(believing, "pending_by_state", LIMIT) <= bound


async def test_the_backlog_of_an_environment_reads_only_its_webhooks(
    believing: Connection,
) -> None:
    bound = 3 * LIMIT + 4 * WEBHOOKS
    assert await read(believing, "pending_of_environment", "env_default", LIMIT) <= bound


@pytest.mark.parametrize("environment", [None, "env_default"])
async def test_the_other_figures_are_counted_up_to_a_limit(
    believing: Connection, environment: str | None
) -> None:
    bound = 4 * LIMIT + 5 * WEBHOOKS
    assert await read(believing, "figures", environment, LIMIT) <= bound
