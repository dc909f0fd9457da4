"""A whole daemon, its admin API, and clients with tokens of every kind."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from io import BytesIO
from secrets import token_hex
from typing import Any

import aiohttp
import orjson
import pytest

from dispatcher.core import signing
from dispatcher.core.model import Scope
from dispatcher.daemon.daemon import Daemon
from dispatcher.encryption.cipher import Cipher
from dispatcher.services.access.tokens import Tokens
from dispatcher.services.audit.audit_log import Actor
from dispatcher.services.inputs.token_inputs import NewToken
from dispatcher.store.session import Session
from tests import daemon_fixtures
from tests.conftest import Connection
from tests.end_to_end.shell import KEY
from tests.end_to_end.stories import Daemons, SharedStory, Story
from tests.waiting import until

cipher = daemon_fixtures.cipher
daemons = daemon_fixtures.daemons
receiver = daemon_fixtures.receiver
story = daemon_fixtures.story

OTHER = "env_other"
JSON = "application/json"
JSONAPI = "application/vnd.api+json"
SCHEMES = list(signing.SCHEMES)


class ApiResponse:
    """A response of the API, with its body read."""

    def __init__(self, response: aiohttp.ClientResponse, body: bytes) -> None:
        self.status = response.status
        self.headers = response.headers
        self.type = response.headers.get("Content-Type")
        self.body = body

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def data(self) -> Any:
        """Return the data of the envelope."""
        document = self.json
        assert document["success"] is True, document
        return document["data"]

    @property
    def code(self) -> str:
        """Of an error in the envelope."""
        code: str = self.json["error"]["code"]
        return code


class Client:
    """A client with one token. It sends `application/json` unless a header names another type."""

    def __init__(self, session: aiohttp.ClientSession, token: str | None) -> None:
        self._session = session
        self._token = token

    async def __call__(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> ApiResponse:
        """`body` as JSON, or bytes as they are; `Content_Type` names the header Content-Type."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if self._token is not None:
            named.setdefault("Authorization", f"Bearer {self._token}")
        data = None
        if body is not None:
            data = BytesIO(body if isinstance(body, bytes) else orjson.dumps(body))
            named.setdefault("Content-Type", "application/json")
        async with self._session.request(method, path, data=data, headers=named) as response:
            return ApiResponse(response, await response.read())


class Api:
    """`client()` is one of an administrator of all environments, unless said otherwise."""

    def __init__(self, daemon: Daemon, dsn: str, session: aiohttp.ClientSession) -> None:
        self.daemon = daemon
        self.dsn = dsn
        self._session = session

    @property
    def address(self) -> str:
        return self.daemon.admin_address

    async def token(self, scope: Scope = "admin", environment: str = "*") -> str:
        session = Session(self.dsn, "test")
        try:
            async with session.transaction() as opened:
                form = NewToken(name="of a test", environment_id=environment, scope=scope)
                made = await Tokens(opened, Actor("test")).create(form, environment_id=None)
        finally:
            await session.close()
        assert made.token is not None
        return made.token

    async def client(self, scope: Scope = "admin", environment: str = "*") -> Client:
        return Client(self._session, await self.token(scope, environment))

    @asynccontextmanager
    async def from_(self, source: str) -> AsyncIterator[aiohttp.ClientSession]:
        """A session whose requests come from this address."""
        connector = aiohttp.TCPConnector(local_addr=(source, 0))
        async with aiohttp.ClientSession(self.address, connector=connector) as session:
            yield session

    def client_with_token(self, token: str | None = None) -> Client:
        """Return a client with this token, or without any."""
        return Client(self._session, token)


@pytest.fixture
async def other_environment(connection: Connection) -> str:
    await add_other_environment(connection)
    return OTHER


@pytest.fixture
async def api(daemons: Daemons, dsn: str) -> AsyncIterator[Api]:
    async with served(daemons, dsn) as opened:
        yield opened


@pytest.fixture
async def admin(api: Api) -> Client:
    return await api.client()


async def delivered(client: Client, webhook_id: str, count: int = 1) -> Any:
    """The webhook's deliveries, once so many have been delivered."""
    path = f"/api/webhooks/{webhook_id}/deliveries?status=DELIVERED&limit=100"
    deliveries: list[Any] = []

    async def enough() -> bool:
        deliveries[:] = (await client("GET", path)).data["items"]
        return len(deliveries) >= count

    await until(enough, f"{count} deliveries of {webhook_id}")
    return deliveries


# ── one daemon for a whole module: for tests that leave nothing behind that another would see ────


@pytest.fixture(scope="module")
def standing_dsn(shared_dsn: str) -> str:
    return shared_dsn


@pytest.fixture(scope="module")
async def database(shared_connection: Connection) -> Connection:
    """Return a superuser's connection to the standing daemon's database. Add an environment."""
    await add_other_environment(shared_connection)
    return shared_connection


@pytest.fixture(scope="module")
async def standing(standing_dsn: str, database: Connection) -> AsyncIterator[Api]:
    started = Daemons(standing_dsn, Cipher(bytes.fromhex(KEY)))
    async with served(started, standing_dsn) as opened:
        yield opened
    await started.end()


@pytest.fixture(scope="module")
async def ask(standing: Api) -> Client:
    """An administrator of all environments asks the standing daemon."""
    return await standing.client()


@pytest.fixture(scope="module")
async def telling(standing: Api, database: Connection) -> Story:
    """The standing daemon's database, to insert into."""
    return Story(standing.dsn, database, Cipher(bytes.fromhex(KEY)))


@pytest.fixture
async def shared_story(
    standing: Api, database: Connection, cipher: Cipher
) -> AsyncIterator[SharedStory]:
    """A story of the standing daemon, of endpoints of its own."""
    own_story = SharedStory(standing.daemon, standing.dsn, database, cipher)
    yield own_story
    await own_story.end()


@asynccontextmanager
async def founded(standing: Api, database: Connection, name: str) -> AsyncIterator[str]:
    """The id of a new environment of the module's daemon; at the end nothing more is sent for it."""
    environment = f"env_{token_hex(6)}"
    await database.execute(
        "INSERT INTO dispatcher.environments (id, name) VALUES ($1, $2)", environment, name
    )
    yield environment
    # Otherwise a retry could reach a later test's receiver, if it is given the same port.
    paused = await (await standing.client("admin", environment))("POST", "/api/pause", {})
    assert paused.status == 200


@pytest.fixture
async def home(standing: Api, database: Connection) -> AsyncIterator[str]:
    """The id of the test's environment."""
    async with founded(standing, database, "Home") as environment:
        yield environment


@pytest.fixture
async def other_home(standing: Api, database: Connection) -> AsyncIterator[str]:
    """The id of another new environment."""
    async with founded(standing, database, "Elsewhere") as environment:
        yield environment


@asynccontextmanager
async def served(
    daemons: Daemons, dsn: str, **sections: Mapping[str, object]
) -> AsyncIterator[Api]:
    daemon = await daemons.start(**{"signing": {"schemes": SCHEMES}, **sections})
    async with aiohttp.ClientSession(daemon.admin_address) as session:
        yield Api(daemon, dsn, session)


async def add_other_environment(connection: Connection) -> None:
    await connection.execute(
        "INSERT INTO dispatcher.environments (id, name) VALUES ($1, 'Other')", OTHER
    )
