"""What stories of whole daemons are told with: a database, endpoints, daemons in this process."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import orjson

from dispatcher.config.sections import Config
from dispatcher.core import signing
from dispatcher.daemon.daemon import Daemon
from dispatcher.encryption.cipher import Cipher
from dispatcher.services.audit.audit_log import Actor
from dispatcher.services.inputs.webhook_inputs import NewWebhook
from dispatcher.services.webhooks.webhook_resource import Webhook
from dispatcher.services.webhooks.webhook_rules import WebhookRules
from dispatcher.services.webhooks.webhooks import Webhooks
from dispatcher.store.session import Session
from dispatcher.transport.addresses.egress import Guard, parse_allow
from tests.conftest import Connection, connected
from tests.receivers import Request
from tests.waiting import until

LOOPBACK = ["127.0.0.0/8"]
DEFAULTS: Mapping[str, Mapping[str, object]] = {
    "egress": {"allow": LOOPBACK},
    "admin": {"port": 0},
    "delivery": {"timeout": "5s"},
    "retry": {"base": "100ms", "factor": 2, "jitter": 0, "retries": 5},
}


def configured(**sections: Mapping[str, object]) -> Config:
    """DEFAULTS with these keys above them; durations are text, as in the file."""
    names = {*DEFAULTS, *sections}
    return Config.model_validate({n: {**DEFAULTS.get(n, {}), **sections.get(n, {})} for n in names})


def numbers(requests: Sequence[Request]) -> Counter[int]:
    """Return how often each `{"n": …}` arrived."""
    return Counter(orjson.loads(request.body)["data"]["n"] for request in requests)


class Daemons:
    """Starts daemons in this process, and ends those that still run when the story is over."""

    def __init__(self, dsn: str, cipher: Cipher) -> None:
        self._dsn = dsn
        self.cipher = cipher
        self._running: dict[Daemon, asyncio.Task[None]] = {}

    async def start(self, **sections: Mapping[str, object]) -> Daemon:
        """A daemon that is ready. `sections` are those of the configuration."""
        daemon = Daemon(configured(**sections), self._dsn, self.cipher)
        self._running[daemon] = asyncio.create_task(daemon.run())
        ready = asyncio.create_task(daemon.ready.wait())
        await asyncio.wait(
            {ready, self._running[daemon]}, timeout=30, return_when=asyncio.FIRST_COMPLETED
        )
        if self._running[daemon].done():
            await self._running.pop(daemon)
        assert daemon.ready.is_set(), "the daemon did not become ready"
        return daemon

    async def stop(self, daemon: Daemon) -> None:
        """As SIGTERM does: returns when it has drained."""
        daemon.stop()
        await self._running.pop(daemon)

    def alive(self, daemon: Daemon) -> bool:
        return not self._running[daemon].done()

    async def end(self) -> None:
        """Raises what broke a daemon."""
        for daemon in self._running:
            daemon.force()
        await asyncio.gather(*self._running.values())


class Story:
    """A database of one's own, seen from the outside: by its tables, views and functions."""

    _own: list[UUID] | None = None
    """Endpoints whose deliveries it sees; None for all."""

    def __init__(self, dsn: str, connection: Connection, cipher: Cipher) -> None:
        self.dsn = dsn
        self.connection = connection
        self._cipher = cipher

    async def add_environment(self, environment_id: str) -> None:
        await self.connection.execute(
            "INSERT INTO dispatcher.environments (id, name) VALUES ($1, $1)", environment_id
        )

    async def subscribe(
        self, url: str, *events: str, environment_id: str = "env_default", **columns: object
    ) -> Webhook:
        """An endpoint for all types, or for these; `columns` are set on its row."""
        async with self.webhooks() as webhooks:
            form = NewWebhook(url=url, events=list(events or ("*",)))
            webhook = await webhooks.create(form, environment_id=environment_id)
        if self._own is not None:
            self._own.append(webhook.id)
        if columns:
            await self.change(webhook.id, **columns)
        return webhook

    async def delete(self, endpoint_id: UUID) -> None:
        async with self.webhooks() as webhooks:
            await webhooks.delete(endpoint_id)

    @asynccontextmanager
    async def webhooks(self) -> AsyncIterator[Webhooks]:
        """Open the service that people would call, in a transaction."""
        session = Session(self.dsn, "test")
        rules = WebhookRules(Guard(parse_allow(LOOPBACK)), tuple(signing.SCHEMES), ())
        try:
            async with session.transaction() as opened:
                yield Webhooks(opened, Actor("test"), cipher=self._cipher, rules=rules)
        finally:
            await session.close()

    async def change(self, endpoint_id: UUID, **columns: object) -> None:
        """Change columns of an endpoint, and tell the daemons, as one transaction."""
        names = ", ".join(f"{name} = ${i}" for i, name in enumerate(columns, start=2))
        async with self.connection.transaction():
            await self.connection.execute(
                "UPDATE dispatcher.endpoint_version SET version = version + 1"
            )
            await self.connection.execute(
                f"UPDATE dispatcher.endpoints SET {names}, "  # noqa: S608 - names the test wrote
                "version = (SELECT version FROM dispatcher.endpoint_version) WHERE id = $1",
                endpoint_id,
                *columns.values(),
            )

    async def insert(
        self,
        count: int = 1,
        *,
        first: int = 1,
        type_: str = "user.created",
        environment_id: str = "env_default",
    ) -> None:
        """Events `{"n": first}` and so on, in one statement."""
        await self.connection.execute(
            "INSERT INTO dispatcher.events (type, environment_id, data)"
            " SELECT $1, $4, json_build_object('n', n) FROM generate_series($2::int, $3::int) AS n",
            type_,
            first,
            first + count - 1,
            environment_id,
        )

    async def states(self) -> Counter[str]:
        """Return the number of deliveries in each state."""
        rows = await self.connection.fetch(
            "SELECT state, count(*) FROM dispatcher.delivery_status"
            " WHERE $1::uuid[] IS NULL OR endpoint_id = ANY ($1) GROUP BY state",
            self._own,
        )
        return Counter({row["state"]: row["count"] for row in rows})

    async def ended(self, **counts: int) -> None:
        """Returns once so many deliveries are in each state, and none in another."""
        seen: Counter[str] = Counter()

        async def reached() -> bool:
            nonlocal seen
            seen = await self.states()
            return seen == Counter(counts)

        try:
            await until(reached, "the deliveries ended so")
        except TimeoutError:
            raise AssertionError(f"deliveries are {dict(seen)}, not {counts}") from None

    async def fanned_out(self) -> None:
        """Returns once no event waits for the fan-out."""

        async def is_empty() -> bool:
            return not await self.connection.fetchval("SELECT count(*) FROM dispatcher.inbox")

        await until(is_empty, "no event waits for the fan-out")

    async def free_shards(self, count: int) -> None:
        """Returns once so many shards have no owner."""

        async def are_free() -> bool:
            free = "SELECT count(*) FROM dispatcher.shards WHERE owner IS NULL"
            return bool(await self.connection.fetchval(free) == count)

        await until(are_free, f"{count} shards are free")

    async def attempts(self) -> list[dict[str, Any]]:
        """The rows of the attempts table, in order of writing."""
        rows = await self.connection.fetch(
            "SELECT * FROM dispatcher.attempts"
            " WHERE $1::uuid[] IS NULL OR endpoint_id = ANY ($1) ORDER BY id",
            self._own,
        )
        return [dict(row) for row in rows]

    async def count(self, condition: str) -> int:
        """Pending deliveries that meet an SQL condition."""
        mine = "($1::uuid[] IS NULL OR endpoint_id = ANY ($1))"
        count: int = await self.connection.fetchval(
            f"SELECT count(*) FROM dispatcher.deliveries WHERE {mine} AND ({condition})",  # noqa: S608 - the test's own
            self._own,
        )
        return count

    async def terminate(self, session: str = "%") -> int:
        """End the daemons' sessions of this name at the server; how many there were."""
        rows = await self.connection.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE 'dispatcher/' || $1",
            session,
        )
        return len(rows)

    @asynccontextmanager
    async def unreachable(self) -> AsyncIterator[None]:
        """Refuse connections to the database, and end those of the daemons."""
        name = await self.connection.fetchval("SELECT current_database()")
        async with connected(self.dsn.replace(name, "postgres")) as elsewhere:
            await elsewhere.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            await self.terminate()
            try:
                yield
            finally:
                await elsewhere.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


class SharedStory(Story):
    """One of several that a daemon and its database see in turn.

    Its deliveries are those of its own endpoints, which `end` deletes.
    """

    def __init__(self, daemon: Daemon, dsn: str, connection: Connection, cipher: Cipher) -> None:
        super().__init__(dsn, connection, cipher)
        self._daemon = daemon
        self._own: list[UUID] = []

    def adopt(self, endpoint_id: str) -> None:
        """See the deliveries of an endpoint that was created by other means."""
        self._own.append(UUID(endpoint_id))

    async def noticed(self) -> None:
        """Returns once the daemon acts on every endpoint as it is in the table now."""
        version = await self.connection.fetchval("SELECT version FROM dispatcher.endpoint_version")
        await until(lambda: self._daemon._engine.endpoints.version >= version, "it is noticed")

    async def end(self) -> None:
        """Delete the endpoints. Otherwise a later test's receiver could get their events."""
        for endpoint_id in self._own:
            await self.delete(endpoint_id)
