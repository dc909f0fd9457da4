"""A step of a recovery costs what it looks at, not what there is: with a million events.

Blocks are counted, for what a plan calls cheap depends on statistics, and these are never right:
every table of this schema begins empty.
"""

from collections.abc import AsyncIterator

import pytest

from tests.conftest import Connection, _database, connected, with_database
from tests.store.plans.plan import MEASURED, NO_AUTOVACUUM, explain, undone

pytestmark = pytest.mark.long

ENDPOINT = "00000000-0000-4000-8000-000000000001"
# A hundred events a millisecond. Every tenth event was delivered to the endpoint, every hundredth failed; each to another one, too.
FILL = """
ALTER TABLE dispatcher.events DISABLE TRIGGER ALL;
CREATE TEMP TABLE span AS SELECT dispatcher.id_floor(date_trunc('day', now(), 'UTC')) AS low;
INSERT INTO dispatcher.endpoints (id, environment_id, name, url, secret, version)
  VALUES ($endpoint, 'env_default', 'n', 'u', '', 1);
INSERT INTO dispatcher.subscriptions (environment_id, pattern, endpoint_id)
  VALUES ('env_default', 'rare.*', $endpoint);
INSERT INTO dispatcher.events (id, type, data)
  SELECT s.low + 40000::bigint * n, CASE WHEN n % 100 = 5 THEN 'rare.one' ELSE 'user.created' END, '{}'
  FROM span s, generate_series(1, 1000000) AS n;
INSERT INTO dispatcher.attempts (id, delivery_id, event_id, endpoint_id, environment_id, type, attempt, started_at, outcome,
                                 duration_ms, state)
  SELECT s.low + 40000::bigint * n + 2, s.low + 40000::bigint * n + 1, s.low + 40000::bigint * n,
         CASE WHEN n % 10 = 0 THEN $endpoint ELSE gen_random_uuid() END, 'env_default', 'rare.one', 1, now(), 'ok', 1,
         CASE WHEN n % 100 = 0 THEN 'FAILED' ELSE 'DELIVERED' END
  FROM span s, generate_series(1, 300000) AS n;
INSERT INTO dispatcher.deliveries (id, event_id, endpoint_id, environment_id, type, next_at, shard)
  SELECT s.low + 40000::bigint * n + 1, s.low + 40000::bigint * n, gen_random_uuid(), 'env_default', 'rare.one', now(), 1
  FROM span s, generate_series(300001, 500000) AS n;
INSERT INTO dispatcher.inbox (id, event_id, environment_id, type)
  SELECT s.low + 40000::bigint * n, s.low + 40000::bigint * n, 'env_default', 'rare.one' FROM span s, generate_series(900001, 1000000) AS n;
""".replace("$endpoint", f"'{ENDPOINT}'")
LOOK = 2_000
FEW = 4_000
"""Blocks: of 2,000 events, of lookups for those to be sent, of the catalogue. Events are 9,000, attempts 5,000."""


@pytest.fixture(scope="module")
async def filled(server: str, maintenance: Connection, template: str) -> AsyncIterator[Connection]:
    async with (
        _database(maintenance, template) as name,
        connected(with_database(server, name)) as connection,
    ):
        await connection.execute("SET jit = off")
        await connection.execute(NO_AUTOVACUUM)
        await connection.execute("VACUUM ANALYZE")
        await connection.execute(FILL)
        yield connection


@pytest.fixture(scope="module", params=["taken while empty", "taken now"])
async def statistics(filled: Connection, request: pytest.FixtureRequest) -> Connection:
    """The database, with such statistics."""
    if request.param == "taken now":
        await filled.execute("ANALYZE")
    return filled


async def run(
    connection: Connection, name: str, arguments: str, mode: str, *, begin: int
) -> tuple[int, int]:
    """Rows made and blocks touched by a statement, for a replay that got to event `begin`."""
    async with undone(connection):
        await connection.execute("SET LOCAL statement_timeout = '5s'")
        await connection.execute(
            """INSERT INTO dispatcher.replays (id, environment_id, endpoint_id, since, until, missed, position)
               SELECT 1, 'env_default', $1::uuid, now(), dispatcher.id_time(low) + interval '1 day', true, low + 40000 * $2::bigint
               FROM span""",
            ENDPOINT,
            begin,
        )
        plan = await explain(connection, name, arguments, mode, MEASURED)
    (made,) = {
        node["Actual Rows"] for node in plan.nodes if node.get("Subplan Name") == "CTE queued"
    } or {0}
    return made, plan.blocks


@pytest.mark.parametrize("mode", ["generic", "custom"])
@pytest.mark.parametrize(
    ("begin", "made"),
    [
        (0, 39),  # 19 of 199 deliveries failed, and 20 of 2,000 events were missed
        (298_000, 40),
        (400_000, 20),  # events with deliveries pending to others
        (899_000, 10),  # the inbox begins after the next 1,000
        (950_000, 0),
    ],
)
async def test_a_replay_step_reads_only_the_rows_it_checks(
    statistics: Connection, mode: str, begin: int, made: int
) -> None:
    arguments = f"{LOOK}, 1000, 1000, 5000, 1, true"
    done, blocks = await run(statistics, "replays/step", arguments, mode, begin=begin)
    assert done == made
    assert blocks < FEW


@pytest.mark.parametrize("mode", ["generic", "custom"])
async def test_counting_reads_only_the_rows_it_checks(statistics: Connection, mode: str) -> None:
    low = await statistics.fetchval("SELECT low FROM span")
    arguments = f"'env_default', '{ENDPOINT}', '2024-01-02', NULL, {low}, true, {LOOK}"
    _, blocks = await run(statistics, "replays/count", arguments, mode, begin=0)
    assert blocks < FEW
