"""A database with much waiting in every table of the engine, in each state its statistics can be in."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from tests.conftest import Connection, _database, connected, with_database
from tests.store.plans.plan import ENDPOINT, NO_AUTOVACUUM

ORDERED = 11
"""The number of the ordered endpoint. Every fiftieth endpoint is deleted, from number 7 on."""
DAEMON = 7


@dataclass(frozen=True, slots=True)
class Size:
    """The numbers of rows; the other tables are filled in proportion to the inbox."""

    endpoints: int
    types: int
    deliveries: int
    inbox: int

    def values(self) -> dict[str, int]:
        return {
            "endpoints": self.endpoints,
            "types": self.types,
            "deliveries": self.deliveries,
            "inbox": self.inbox,
            "ordered": ORDERED,
            "daemon": DAEMON,
        }


FEW = Size(endpoints=1_000, types=500, deliveries=100_000, inbox=60_000)

KNOWN = """
INSERT INTO dispatcher.daemons (id, backend_pid, renewed_at) VALUES ({daemon}, pg_backend_pid(), now()), (8, 8, now() - interval '5 s');
UPDATE dispatcher.shards SET owner = {daemon};
INSERT INTO dispatcher.endpoints (id, environment_id, name, url, secret, version, ordered, home_shard, deleted_at)
  SELECT pg_temp.endpoint(n), 'env_default', 'n', 'u', '', n, n = {ordered}, n % 64, CASE WHEN n % 50 = 7 THEN now() END
  FROM generate_series(1, {endpoints}) AS n;
INSERT INTO dispatcher.endpoint_health (endpoint_id, failing_since, failed_at, failures)
  SELECT pg_temp.endpoint(n), now() - interval '1 day', now(), 3 FROM generate_series(1, {endpoints}) AS n;
INSERT INTO dispatcher.subscriptions (environment_id, pattern, endpoint_id)
  SELECT 'env_default', CASE WHEN n = 2 THEN 'user.*' WHEN n % 3 = 0 THEN 'wide.one' ELSE 'user.t' || n % {types} END, pg_temp.endpoint(n)
  FROM generate_series(1, {endpoints}) AS n;
"""
# Half of the deliveries are one endpoint's, which is slow: they are parked. Of the others, some are due later.
QUEUES = """
INSERT INTO dispatcher.deliveries (id, event_id, endpoint_id, environment_id, type, next_at, shard, parked)
  SELECT {base} + n, {base} + n / 2, pg_temp.endpoint(CASE WHEN n % 2 = 0 THEN 1 ELSE 1 + n % {endpoints} END), 'env_default', 'user.created',
         now() - interval '1 hour' + n % 7200 * interval '1 s', CASE WHEN n % 2 = 0 THEN 1 ELSE n % 64 END, n % 2 = 0 OR n % 20 = 1
  FROM generate_series({from_} + 1, {from_} + {deliveries}) AS n;
INSERT INTO dispatcher.deliveries (id, event_id, endpoint_id, environment_id, type, next_at, shard, parked)
  SELECT {base} + 5000000 + n, {base} + n, pg_temp.endpoint({ordered}), 'env_default', 'user.created', now(), {ordered}, true
  FROM generate_series({from_} + 1, {from_} + {deliveries} / 20) AS n;
INSERT INTO dispatcher.inbox (id, event_id, environment_id, type)
  SELECT {base} + n, {base} + n, 'env_default', CASE WHEN n % 1000 = 999 THEN 'wide.one' ELSE 'user.t' || n % {types} END
  FROM generate_series({from_} + 1, {from_} + {inbox}) AS n;
INSERT INTO dispatcher.inbox_directed (id, event_id, environment_id, type, endpoint_id, delivery_id)
  SELECT {base} + 5000000 + n, {base} + n, 'env_default', 'user.created', pg_temp.endpoint(1 + n % 5), {base} + 6000000 + n
  FROM generate_series({from_} + 1, {from_} + {inbox} / 30) AS n;
INSERT INTO dispatcher.unvalidated_events (id, environment_id, type)
  SELECT {base} + 8000000 + n, 'env_default', 'user.created' FROM generate_series({from_} + 1, {from_} + {inbox} / 2) AS n;
INSERT INTO dispatcher.change_notices (id, delivery_id, endpoint_id, shard)
  SELECT {base} + n, {base} + n, pg_temp.endpoint(1 + n % {endpoints}), n % 64 FROM generate_series({from_} + 1, {from_} + {inbox} / 3) AS n;
INSERT INTO dispatcher.quarantine (id, event_id, environment_id, type, attempt, reason, detail)
  SELECT {base} + 7000000 + n, {base} + n, 'env_default', 'user.created', 0, 'r', 'd' FROM generate_series({from_} + 1, {from_} + {inbox} / 3) AS n;
INSERT INTO dispatcher.replays (id, environment_id, endpoint_id, since, until, missed, position, state)
  SELECT {base} + n, 'env_default', pg_temp.endpoint(1 + n % {endpoints}), now(), now(), true, {base}, 'DONE'
  FROM generate_series({from_} + 1, {from_} + {inbox} / 6) AS n;
INSERT INTO dispatcher.bulk_actions (id, environment_id, action, criteria, position, state)
  SELECT {base} + n, 'env_default', 'retry', '{{}}', {base}, CASE WHEN n % 1000 = 1 THEN 'RUNNING' ELSE 'DONE' END
  FROM generate_series({from_} + 1, {from_} + {inbox} / 2) AS n;
INSERT INTO dispatcher.events (id, type, data, source)
  SELECT {base} + n, 'user.created', '{{}}', 'directed' FROM generate_series({from_} + 1, {from_} + {inbox} / 2) AS n;
INSERT INTO dispatcher.attempts (id, delivery_id, event_id, endpoint_id, environment_id, type, attempt, started_at, outcome,
                                 duration_ms, state)
  SELECT {base} + 9000000 + n, {base} + n, {base} + n, pg_temp.endpoint(1 + n % {endpoints}), 'env_default', 'user.created', 1, now(), 'http', 1,
         CASE WHEN n > {from_} + 10000 THEN 'FAILED' END
  FROM generate_series({from_} + 1, {from_} + {inbox} / 2) AS n;
INSERT INTO dispatcher.endpoint_statistics
  SELECT pg_temp.endpoint(e), date_bin('30 minutes', now(), 'epoch') - n * interval '30 minutes', 10, 1, 9, 0, 100, array_fill(1, ARRAY[26])
  FROM generate_series(0, 100) AS n, generate_series({from_} + 1, {from_} + {deliveries} / 500) AS e;
INSERT INTO dispatcher.environment_statistics
  SELECT 'env_' || e, 10, date_bin('10 s', now(), 'epoch') - n * interval '10 s', 10, 1, 9, 0, 100, array_fill(1, ARRAY[26])
  FROM generate_series(0, 100) AS n, generate_series({from_} + 1, {from_} + {deliveries} / 500) AS e;
"""
TABLES = (
    *(
        "deliveries",
        "inbox",
        "unvalidated_events",
        "change_notices",
        "quarantine",
        "replays",
        "bulk_actions",
        "events",
    ),
    "attempts",
    "endpoint_statistics",
    "environment_statistics",
)
LATER = 2_000_000
"""What is added to the numbers of rows that come after others."""

EMPTIED = "emptied"
STATES = (
    "never analysed",
    EMPTIED,
    "emptied and filled again",
    "bloated",
    "analysed while empty",
)
"""In this order, for the first cannot be had again."""


def endpoint(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def array(values: Iterable[object]) -> str:
    """Return an array as a literal."""
    return f"'{{{','.join(map(str, values))}}}'"


class Queues:
    """A database with full queues, and statistics that came about in one of the STATES.

    The id of the `n`-th delivery, inbox row or event is `base` + `first` + n. In some other
    tables, millions are added to it.
    """

    def __init__(self, dsn: str, connection: Connection, base: int, size: Size = FEW) -> None:
        self.connection = connection
        self.base = base
        self.size = size
        self.first = 0
        self._dsn = dsn
        self._full = False
        self._stack = AsyncExitStack()
        self.has_old_snapshot = False

    @property
    def is_empty(self) -> bool:
        return not self._full

    def ids(self, numbers: Iterable[int]) -> str:
        return array(map(self.id, numbers))

    def id(self, number: int) -> int:
        return self.base + self.first + number

    async def get_into(self, state: str) -> None:
        if state != "never analysed" and not self._full:
            await self._fill()
        if state in {EMPTIED, "emptied and filled again"}:
            await self.connection.execute("ANALYZE")
            await self._clear()
            await self.connection.execute("VACUUM")
        elif state == "bloated":
            # Rows that tests have undone, or that were deleted when a case came here before, would be
            # passed beside those deleted below.
            await self.close()
            await self.connection.execute("VACUUM ANALYZE")
            # An old snapshot: what is deleted can be neither cleaned up nor marked as dead.
            old = await self._stack.enter_async_context(connected(self._dsn))
            await old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
            self.has_old_snapshot = True
            await self._clear()
            self.first += LATER
        elif state == "analysed while empty":
            await self.close()
            await self._clear()
            await self.connection.execute("VACUUM")
            # As autovacuum finds a queue: pages, on which nothing lives. History only grows.
            await self._fill(part=5_000)
            await self._clear()
            await self.connection.execute("TRUNCATE dispatcher.events, dispatcher.attempts")
            await self.connection.execute("VACUUM ANALYZE dispatcher.events, dispatcher.attempts")
            await self.connection.execute("ANALYZE")
        if state != EMPTIED:
            await self._fill()

    async def close(self) -> None:
        self.has_old_snapshot = False
        await self._stack.aclose()

    async def _fill(self, part: int = 1) -> None:
        size = self.size
        rows = {"deliveries": size.deliveries // part, "inbox": size.inbox // part}
        await self.connection.execute(
            QUEUES.format(**{**size.values(), **rows}, base=self.base, from_=self.first)
        )
        self._full = True

    async def _clear(self) -> None:
        for table in TABLES:
            await self.connection.execute(f"DELETE FROM dispatcher.{table}")  # noqa: S608 - one of ours
        self._full = False


@asynccontextmanager
async def queues(server: str, maintenance: Connection, template: str) -> AsyncIterator[Queues]:
    """A database of its own, with endpoints and a daemon, and nothing in its queues yet."""
    async with (
        _database(maintenance, template) as name,
        queues_of(with_database(server, name), FEW) as made,
    ):
        yield made


@asynccontextmanager
async def queues_of(dsn: str, size: Size) -> AsyncIterator[Queues]:
    """The same in a database that has only the schema."""
    async with connected(dsn) as connection:
        await connection.execute(f"SET jit = off; {NO_AUTOVACUUM}; {ENDPOINT}")
        await connection.execute(KNOWN.format(**size.values()))
        await connection.execute("ALTER TABLE dispatcher.events DISABLE TRIGGER ALL")
        base = await connection.fetchval(
            "SELECT dispatcher.id_floor(date_trunc('day', now(), 'UTC'))"
        )
        made = Queues(dsn, connection, base, size)
        yield made
        await made.close()
