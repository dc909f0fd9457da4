"""What a page of a listing costs: about its own rows, however many there are beside it.

Rows and blocks are counted and never time.
"""

from collections.abc import AsyncIterator

import pytest

from dispatcher.store.connection.plan_settings import plan_settings
from tests.conftest import Connection, _database, connected, with_database
from tests.store.plans.plan import ENDPOINT, MEASURED, NO_AUTOVACUUM, explain

pytestmark = pytest.mark.long

PAGE = 50
ROWS_A_ROW = 8
"""Rows that the parts of a plan hand on, or leave out, for each row of the page."""
ROWS_OF_A_PAGE = 2
"""Those of the parts that run once, such as the look-up of the row before the page."""
BLOCKS_A_ROW = 12
BLOCKS_OF_A_PAGE = 60
FILL = """
INSERT INTO dispatcher.environments (id, name) SELECT 'few_' || n, 'f' FROM generate_series(1, 10000) AS n;
INSERT INTO dispatcher.endpoints (id, environment_id, name, url, secret, version)
  SELECT pg_temp.endpoint(n), CASE WHEN n % 2 = 0 THEN 'env_default' ELSE 'few_' || n END, 'n', 'u', '', n
  FROM generate_series(1, 10000) AS n;
INSERT INTO dispatcher.subscriptions (environment_id, pattern, endpoint_id)
  SELECT environment_id, 'a.b', id FROM dispatcher.endpoints;
INSERT INTO dispatcher.event_types (environment_id, name)
  SELECT CASE WHEN n % 2 = 0 THEN 'env_default' ELSE 'few_' || n END, 'a.n' || n FROM generate_series(1, 10000) AS n;
INSERT INTO dispatcher.tokens (id, environment_id, name, scope, hash, created_at)
  SELECT pg_temp.endpoint(n), CASE WHEN n % 2 = 0 THEN 'env_default' ELSE 'few_' || n END, 't', 'read', sha256(n::text::bytea), to_timestamp(n)
  FROM generate_series(1, 10000) AS n;
INSERT INTO dispatcher.quarantine (id, event_id, environment_id, type, attempt, reason, detail)
  SELECT n, n, CASE WHEN n % 2 = 0 THEN 'env_default' ELSE 'few_' || n END, 'a', 0, 'r', 'd' FROM generate_series(1, 10000) AS n;
INSERT INTO dispatcher.audit (id, environment_id, actor, action, subject)
  SELECT n, CASE WHEN n % 2 = 0 THEN 'env_default' ELSE 'few_' || n END, 'a', 'b', 'c' FROM generate_series(1, 10000) AS n;
INSERT INTO dispatcher.bulk_actions (id, environment_id, action, criteria, position)
  SELECT n, CASE WHEN n % 2 = 0 THEN 'env_default' ELSE 'few_' || n END, 'retry', '{}', 0 FROM generate_series(1, 10000) AS n;
"""
PAGES = {
    "bulk_actions/list of one": "'env_default', 5000, 50",
    "bulk_actions/list of an environment with few": "'few_7001', NULL, 50",
    "endpoints/list of one": ("'env_default', pg_temp.endpoint(5000), 50"),
    "endpoints/list, the first": ("'env_default', NULL, 50"),
    "endpoints/list of an environment with few": ("'few_7001', NULL, 50"),
    "endpoints/list of all": ("NULL, pg_temp.endpoint(5000), 50"),
    "endpoint_search/find of one": "'env_default', '', 'active', pg_temp.endpoint(5000), 40, 50",
    "endpoint_search/find of an environment with few": "'few_7001', 'n', NULL, NULL, 50, 50",
    "event_types/search of one": "'env_default', 'a.n', 50, 50",
    "event_types/list of one": "'env_default', 'a.n5', 50",
    "event_types/list of an environment with few": "'few_7001', '', 50",
    "tokens/list of one": "'env_default', to_timestamp(5000), pg_temp.endpoint(5000), 50",
    "tokens/list of an environment with few": "'few_7001', NULL, NULL, 50",
    "tokens/list of all": "NULL, to_timestamp(5000), pg_temp.endpoint(5000), 50",
    "environments/list in the middle": "5000, 50",
    "environments/list, the first": "NULL, 50",
    "quarantine/list of one": "'env_default', 5000, 50",
    "quarantine/list of an environment with few": "'few_7001', 9000, 50",
    "audit/list of one": "'env_default', NULL, NULL, NULL, 5000, 50, 50",
    "audit/list of an environment with few": "'few_7001', NULL, NULL, NULL, NULL, 50, 50",
    "audit/of_subject of one": "'env_default', 'c', NULL, NULL, 5000, 50, 50",
    "audit/of_subject that has none": "'env_default', 'x', NULL, NULL, NULL, 50, 50",
    "audit/of_actor of one": "'env_default', 'a', NULL, NULL, 5000, 50, 50",
    "audit/of_actor of an environment with few": "'few_7001', 'a', NULL, NULL, NULL, 50, 50",
    "audit/actors of one": "'env_default', 50",
    "audit/list of all": "NULL, NULL, NULL, NULL, 5000, 50, 50",
}


@pytest.fixture(scope="module")
async def filled(server: str, maintenance: Connection, template: str) -> AsyncIterator[Connection]:
    async with (
        _database(maintenance, template) as name,
        connected(with_database(server, name)) as connection,
    ):
        await connection.execute(NO_AUTOVACUUM)
        await connection.execute(ENDPOINT)
        await connection.execute(FILL)
        await connection.execute("VACUUM ANALYZE")
        yield connection


@pytest.mark.parametrize("page", PAGES)
async def test_a_page_reads_few_more_rows_and_blocks_than_it_lists(
    filled: Connection, page: str
) -> None:
    name = page.partition(" ")[0].rstrip(",")
    settings = plan_settings("api")
    plan = await explain(filled, name, PAGES[page], "custom", MEASURED, settings)
    rows = sum(
        node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
        for node in plan.nodes
    )
    assert rows <= PAGE * ROWS_A_ROW + ROWS_OF_A_PAGE, plan.root
    assert plan.blocks <= PAGE * BLOCKS_A_ROW + BLOCKS_OF_A_PAGE, plan.root
