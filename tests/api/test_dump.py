"""Nothing that was ever secret is in the database, in what the daemon says, or in its metrics."""

import asyncio
import signal
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_bytes, token_hex, token_urlsafe
from typing import Any

import aiohttp
import orjson
import pytest

from dispatcher.dashboard.signing_in import COOKIE
from tests.api.conftest import ApiResponse, Client
from tests.api.traces import dump, every_row, traces
from tests.conftest import Connection
from tests.end_to_end.shell import KEY, Started, shell
from tests.end_to_end.stories import Story
from tests.receivers import Receiver
from tests.waiting import until

JSONAPI = "application/vnd.api+json"


@dataclass
class Running:
    """A daemon in a process of its own, all that it says, and all that was ever secret there."""

    started: Started
    secrets: set[str]
    said: list[bytes] = field(default_factory=list)
    reading: list[asyncio.Task[None]] = field(default_factory=list)

    def secret(self, text: str) -> str:
        self.secrets.add(text)
        return text

    def read(self) -> None:
        for stream in (self.started.process.stdout, self.started.process.stderr):
            assert stream is not None
            self.reading.append(asyncio.create_task(self._read(stream)))

    async def address(self) -> str:
        """Of the admin port, once it is ready."""
        await until(lambda: self._first_words() is not None, "it has started")
        words = self._first_words()
        assert words is not None
        address: str = words["admin"]
        return address

    async def ended(self) -> str:
        """All that it has said, once it has stopped."""
        if self.started.process.returncode is None:
            self.started.process.send_signal(signal.SIGTERM)
        await asyncio.gather(*self.reading)
        return b"".join(self.said).decode()

    async def _read(self, stream: asyncio.StreamReader) -> None:
        async for line in stream:
            self.said.append(line)

    def _first_words(self) -> dict[str, Any] | None:
        return next((orjson.loads(s) for s in self.said if b'"event":"started"' in s), None)


@pytest.fixture
async def running(dsn: str, tmp_path: Path) -> AsyncIterator[Running]:
    token = "admin-" + token_urlsafe(32)
    settings = {
        "secrets__key": KEY,
        "secrets__admin_token": token,
        "log__level": "debug",
        "retry__base": "50ms",
        "retry__retries": "2",
        "signing__schemes": '["body-hex", "standard", "timestamped-hex", "stripe"]',
    }
    async with shell(tmp_path, database__dsn=dsn, **settings) as opened:
        running = Running(await opened.start("run"), {KEY, token})
        running.read()
        yield running
        await running.ended()


@dataclass(frozen=True, slots=True)
class Office:
    """The actions of an administrator, who notes each secret that they return."""

    running: Running
    ask: Client
    http: aiohttp.ClientSession

    async def create(self, url: str, **fields: object) -> str:
        """A webhook; its path."""
        made = await self.ask("POST", "/api/webhooks", {"url": url, "events": ["*"], **fields})
        assert made.status == 201, made.body
        self.running.secret(made.data["secret"])
        return f"/api/webhooks/{made.data['id']}"

    async def rotate(self, path: str, seconds: int, **headers: str) -> None:
        rotated = await self.ask(
            "POST", f"{path}/rotate_secret", {"overlapSeconds": seconds}, **headers
        )
        assert rotated.status == 200, rotated.body
        self.running.secret(rotated.data["secret"])

    async def token(self, **headers: str) -> tuple[str, str]:
        """Its path and its text."""
        form = {"name": "a program", "environmentId": "*", "scope": "write"}
        made = await self.ask("POST", "/api/tokens", form, **headers)
        assert made.status == 201, made.body
        return f"/api/tokens/{made.data['id']}", self.running.secret(made.data["token"])

    def headers(self) -> dict[str, str]:
        """Custom headers whose values stay secret."""
        secret = self.running.secret
        return {
            "Authorization": "Bearer " + secret(token_urlsafe(24)),
            "X-Api-Key": secret(f"{token_hex(6)} and more, {token_hex(6)}"),
        }


@pytest.mark.long
async def test_no_secret_is_written_down_anywhere(
    running: Running, story: Story, receiver: Receiver, dsn: str, binaries: Path | None
) -> None:
    receiver.answers = [500] * 8
    async with aiohttp.ClientSession(await running.address()) as http:
        admin_token = next(s for s in running.secrets if s.startswith("admin-"))
        office = Office(running, Client(http, admin_token), http)
        await _webhooks(office, receiver)
        await _tokens(office)
        await _signs_in(office, admin_token)
        await _refused(office, receiver)
        await _deliveries(office, story)
        metrics = await office.ask("GET", "/metrics")
    output = await running.ended()
    rows = await every_row(story.connection)
    assert len(running.secrets) > 30
    assert all(word in rows for word in (receiver.url, "webhook.rotate_secret", "a program"))
    assert '"event":"attempt failed"' in output
    assert traces(rows, running.secrets) == []
    assert traces(await dump(dsn, binaries) or "", running.secrets) == []
    assert traces(output, running.secrets) == []
    assert traces(metrics.body.decode(), running.secrets) == []


async def _webhooks(office: Office, receiver: Receiver) -> None:
    secret, ask = office.running.secret, office.ask
    plain = await office.create(receiver.url, headers=office.headers())
    own = [
        b64encode(token_bytes(32)).decode(),
        "whsec_" + b64encode(token_bytes(24)).decode(),
        token_hex(32),
    ]
    for text in own:
        await office.create(receiver.url, secret=secret(text))
    await office.rotate(plain, 3600)
    await office.rotate(plain, 0)
    await office.rotate(plain, 3600, Idempotency_Key="once")
    again = await ask(
        "POST", f"{plain}/rotate_secret", {"overlapSeconds": 3600}, Idempotency_Key="once"
    )
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "secret" not in again.data
    await ask("PATCH", plain, {"headers": {**office.headers(), "X-More": secret(token_hex(8))}})
    await ask("PATCH", plain, {"headers": {"X-More": None}, "name": "without"})
    gone = await office.create(receiver.url, headers=office.headers())
    assert (await ask("DELETE", gone)).status == 204
    await _created_once(office, receiver)


async def _created_once(office: Office, receiver: Receiver) -> None:
    """Two requests with one key, as a document."""
    attributes = {"url": receiver.url, "events": ["*"], "headers": office.headers()}
    document = {"data": {"type": "webhook", "attributes": attributes}}

    async def create() -> ApiResponse:
        headers = {"Content_Type": JSONAPI, "Idempotency_Key": "a-webhook"}
        return await office.ask("POST", "/api/webhooks", document, **headers)

    first, second = await create(), await create()
    office.running.secret(first.json["data"]["attributes"]["signing_secret"])
    assert second.headers["Idempotent-Replayed"] == "true"
    assert "signing_secret" not in second.json["data"]["attributes"]


async def _tokens(office: Office) -> None:
    made = [await office.token() for _ in range(3)]
    made += [await office.token(Idempotency_Key="a-token") for _ in range(1)]
    for path, text in made:
        assert (await Client(office.http, text)("GET", "/api/webhooks")).status == 200
        if path != made[0][0]:
            assert (await office.ask("DELETE", path)).status == 204
    refused = [made[1][1], office.running.secret("dsp_" + token_urlsafe(32))]
    for text in refused:
        assert (await Client(office.http, text)("GET", "/api/webhooks")).status == 401


async def _signs_in(office: Office, token: str) -> None:
    """With a browser, which keeps a cookie."""
    form = {"token": token}
    async with office.http.post("/sign-in", data=form, allow_redirects=False) as response:
        office.running.secret(response.cookies[COOKIE].value)
    wrong = {"token": office.running.secret(token_urlsafe(32))}
    async with office.http.post("/sign-in", data=wrong, allow_redirects=False) as response:
        assert response.status == 401


async def _refused(office: Office, receiver: Receiver) -> None:
    """Requests that are wrong, with something secret in them."""
    secret = office.running.secret
    webhook = {"url": receiver.url, "events": ["*"]}
    wrong: list[object] = [
        {**webhook, "secret": secret(token_hex(8))},
        {**webhook, "secret": secret("%" + token_hex(31))},
        {**webhook, "headers": {"X-Key": secret(token_hex(8)) + "\n"}},
        {**webhook, "headers": {"Webhook-Id": secret(token_hex(8))}},
        {**webhook, "password": secret(token_hex(8))},
        {"url": f"http://user:{secret(token_hex(8))}@127.0.0.1/", "events": ["*"]},
        {"url": receiver.url, "events": [], "secret": secret(token_hex(32))},
    ]
    for body in wrong:
        answer = await office.ask("POST", "/api/webhooks", body)
        assert answer.status == 422, answer.body
        assert traces(answer.body.decode(), office.running.secrets) == []
    broken = b'{"secret": "' + secret(token_hex(32)).encode() + b'", '
    assert (await office.ask("POST", "/api/webhooks", broken)).status == 400


async def _deliveries(office: Office, story: Story) -> None:
    """Attempts that fail and that succeed, of every origin."""
    ask = office.ask
    async with Receiver() as gone:
        nowhere = await office.create(gone.url, headers=office.headers())
    listed = (await ask("GET", "/api/webhooks")).data
    for webhook in listed:
        assert (await ask("POST", f"/api/webhooks/{webhook['id']}/test")).status == 202
    event = {"type": "user.created", "data": {"n": 1}}
    for key in ("a", "a", "b"):
        await ask("POST", "/api/events", event, Idempotency_Key=key)
    await until(lambda: _is_still(story), "all has ended")
    recovery = {"since": "2020-01-01T00:00:00Z"}
    assert (await ask("POST", f"{nowhere}/recover", recovery)).status == 202
    items = (await ask("GET", f"{nowhere}/deliveries")).data["items"]
    await ask("POST", f"/api/deliveries/{items[0]['id']}/retry")
    await ask("GET", f"/api/deliveries/{items[0]['id']}/attempts")
    await until(lambda: _is_still(story), "all has ended")


async def _is_still(story: Story) -> bool:
    coming = await story.connection.fetchval(
        "SELECT EXISTS (SELECT 1 FROM dispatcher.inbox)"
        " OR EXISTS (SELECT 1 FROM dispatcher.replays WHERE state = 'RUNNING')"
    )
    return not coming and await story.count("true") == 0


@pytest.mark.parametrize("written", ["plain", "bytea", "base64", "base64 of more", "key", "URL"])
async def test_the_search_for_traces_finds_them(
    connection: Connection, dsn: str, binaries: Path | None, written: str
) -> None:
    key = token_bytes(48)
    secret = b64encode(key).decode()
    values: dict[str, str | bytes] = {
        "plain": f"the secret is {secret}.",
        "bytea": b"\x00\xff" + secret.encode() + b"\x00",
        "base64": b64encode(secret.encode()).decode(),
        "base64 of more": b64encode(b"it is " + secret.encode() + b" indeed").decode(),
        "key": b"\x01" + key,
        "URL": b64encode(b"?" + secret.encode(), altchars=b"-_").decode(),
    }
    value = values[written]
    type_ = "bytea" if isinstance(value, bytes) else "text"
    await connection.execute(f"CREATE TABLE dispatcher.leak (it {type_})")
    await connection.execute("INSERT INTO dispatcher.leak VALUES ($1)", value)
    other = token_hex(32)
    assert traces(await every_row(connection), [secret, other]) == [secret]
    dumped = await dump(dsn, binaries)
    assert dumped is None or traces(dumped, [secret, other]) == [secret]
