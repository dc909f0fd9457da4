"""Everything works although role, database and producer have settings made for something else."""

import asyncio
import json
from collections.abc import AsyncIterator

import asyncpg
import pytest

from dispatcher.encryption.cipher import Cipher
from dispatcher.store.migration import migrate
from tests import hostile_settings
from tests.api.conftest import delivered, served
from tests.conftest import Connection
from tests.end_to_end.shell import KEY, shell
from tests.end_to_end.stories import Daemons
from tests.hostile_settings import Owned
from tests.receivers import Receiver


@pytest.fixture
async def twisted(server: str, maintenance: Connection, template: str) -> AsyncIterator[Owned]:
    """A database of a role, both with every setting twisted, on a server with the template's role."""
    assert template
    async with hostile_settings.owned_database(maintenance, server) as owned:
        await hostile_settings.alter(maintenance, f"DATABASE {owned.name}")
        await hostile_settings.alter(maintenance, f"ROLE {owned.name}")
        yield owned


async def test_with_hostile_settings_events_arrive_and_are_listed(
    maintenance: Connection, twisted: Owned, cipher: Cipher, receiver: Receiver
) -> None:
    async with migrate.open_connection(twisted.dsn) as connection:
        assert len(await migrate.migrate(connection)) == len(migrate.read())
    daemons = Daemons(twisted.dsn, cipher)
    try:
        async with served(daemons, twisted.dsn) as api:
            admin = await api.client()
            webhook = (
                await admin("POST", "/api/webhooks", {"url": receiver.url, "events": ["*"]})
            ).data
            path = f"/api/webhooks/{webhook['id']}"
            # All at once: with another isolation than READ COMMITTED, most of them would be refused.
            answers = await asyncio.gather(
                *(admin("PATCH", path, {"description": f"of {n}"}) for n in range(6))
            )
            assert [answer.status for answer in answers] == [200] * 6
            async with hostile_settings.login(maintenance) as role:
                await hostile_settings.alter(
                    maintenance, f"ROLE {role}", hostile_settings.PRODUCERS
                )
                names = await emitted(twisted.of(role))
                deliveries = await delivered(admin, webhook["id"], count=len(names))
            assert {delivery["eventId"] for delivery in deliveries} == set(names)
            assert {r.headers["webhook-id"] for r in receiver.requests} == set(names)
            bodies = [json.loads(request.body) for request in receiver.requests]
            assert all(body["data"] == {"name": "Zoë", "path": "C:\\n"} for body in bodies)
            assert all(body["timestamp"].endswith("Z") for body in bodies)
    finally:
        await daemons.end()


async def emitted(dsn: str) -> list[str]:
    """Emit some events as a producer with settings of its own; return their names."""
    own = dict.fromkeys(("default_transaction_read_only", "exit_on_error"), "off")
    unlimited = {
        name: "0"
        for name in hostile_settings.SETTINGS
        if name.endswith("_timeout") and name not in hostile_settings.PRODUCERS
    }
    producer = await asyncpg.connect(dsn, server_settings=own | unlimited)
    try:
        emit = "SELECT dispatcher.emit('user.created', $1)"
        data = r'{"name":"Zoë","path":"C:\\n"}'
        return [await producer.fetchval(emit, data) for _ in range(5)]
    finally:
        await producer.close()


async def test_with_hostile_settings_commands_work(
    twisted: Owned, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("shell")
    async with shell(directory, database__dsn=twisted.dsn, secrets__key=KEY) as dispatcher:
        assert (await dispatcher("migrate")).code == 0
        assert (await dispatcher("check")).code == 0
        shown = await dispatcher("emit", "a.b", "--data", "1")
        assert shown.code == 0, shown.err
