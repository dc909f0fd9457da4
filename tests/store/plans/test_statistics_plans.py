"""How much is read for the overview, with many webhooks and a large backlog.

Counting stops at a limit, and sums are found by index, whatever the planner believes.
"""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from tests.conftest import Connection
from tests.store.rows_read import filled_database, rows_read

pytestmark = pytest.mark.long

WEBHOOKS = 1000
LIMIT = 101
FILL = """
INSERT INTO dispatcher.environments (id, name) VALUES ('env_b', 'b');
INSERT INTO dispatcher.endpoints (id, environment_id, name, url, secret, version)
  SELECT pg_temp.endpoint(n), CASE WHEN n <= 1000 THEN 'env_default' ELSE 'env_b' END, 'n', 'u', '', n
  FROM generate_series(1, 1001) AS n;
INSERT INTO dispatcher.deliveries (id, event_id, endpoint_id, environment_id, type, next_at, shard)
  SELECT n, n, pg_temp.endpoint(CASE WHEN n % 2 = 0 THEN 5 ELSE 1 + n % 1000 END), 'env_default', 'a', now(), n % 64
  FROM generate_series(1, 100000) AS n;
INSERT INTO dispatcher.inbox (id, event_id, environment_id, type)
  SELECT n, n, 'env_default', 'a' FROM generate_series(1, 20000) AS n;
INSERT INTO dispatcher.unvalidated_events (id, environment_id, type) SELECT n, 'env_default', 'a' FROM generate_series(1, 20000) AS n;
INSERT INTO dispatcher.quarantine (id, event_id, environment_id, type, attempt, reason, detail)
  SELECT n, n, 'env_default', 'a', 0, 'r', 'd' FROM generate_series(1, 20000) AS n;
INSERT INTO dispatcher.endpoint_statistics
  SELECT pg_temp.endpoint(e), date_bin('30 minutes', now(), 'epoch') - n * interval '30 minutes', 10, 1, 9, 0, 100, array_fill(1, ARRAY[26])
  FROM generate_series(0, 200) AS n, generate_series(1, 200) AS e;
INSERT INTO dispatcher.environment_statistics
  SELECT e, s, date_bin(make_interval(secs => s), now(), 'epoch') - n * make_interval(secs => s), 10, 1, 9, 0, 100, array_fill(1, ARRAY[26])
  FROM (VALUES (10, 1080), (600, 1152)) AS w(s, m), generate_series(0, m) AS n,
       unnest('{*,env_default,env_b,env_c,env_d,env_e,env_f,env_g}'::text[]) AS e;
"""
TABLES = "deliveries|inbox|unvalidated_events|quarantine|endpoints|endpoint_statistics|environment_statistics"


@pytest.fixture(scope="module")
async def filled(server: str, maintenance: Connection, template: str) -> AsyncIterator[Connection]:
    async with filled_database(
        server,
        maintenance,
        template,
        fill=FILL,
        settings="SET jit = off; SET plan_cache_mode = force_custom_plan",
    ) as connection:
        yield connection


async def read(connection: Connection, name: str, *arguments: object) -> int:
    return await rows_read(connection, TABLES, f"statistics/{name}", *arguments)


def endpoint(number: int) -> UUID:
    return UUID(f"00000000-0000-4000-8000-{number:012}")


async def test_a_page_of_webhooks_reads_their_half_hours_and_no_more_than_is_counted(
    believing: Connection,
) -> None:
    page = [endpoint(n) for n in range(1, 51)]
    looked = await read(believing, "of_endpoints", "env_default", page, 48, LIMIT)
    assert looked <= WEBHOOKS + 50 * (48 + LIMIT) + 200
    one = await read(believing, "of_endpoints", "env_default", [endpoint(5)], 48, LIMIT)
    assert one <= WEBHOOKS + 48 + LIMIT + 10


async def test_the_backlog_reads_each_webhook_up_to_a_limit(
    believing: Connection,
) -> None:
    # Of 100 webhooks counted, each its own and its first delivery; the inbox and what is with it.
    looked = await read(believing, "backlog", "env_default", LIMIT)
    assert looked <= 10 * LIMIT + 1000
    looked = await read(believing, "backlog", "env_default", WEBHOOKS)
    assert looked <= 8 * WEBHOOKS
    looked = await read(believing, "backlog", "env_b", WEBHOOKS)
    assert looked <= 4 * WEBHOOKS
    looked = await read(believing, "backlog_of_all", LIMIT)
    assert looked <= 10 * LIMIT


@pytest.mark.parametrize(("span", "width", "points"), [(10, 60, 60), (600, 600, 144)])
async def test_a_series_reads_only_its_time_span(
    believing: Connection, span: int, width: int, points: int
) -> None:
    looked = await read(believing, "series", "env_default", span, width, points)
    assert 0 < looked <= 2 * points * width // span + 10


async def test_pruning_reads_old_rows_by_index(believing: Connection) -> None:
    looked = await read(believing, "prune", LIMIT)
    assert looked <= 10 * LIMIT
