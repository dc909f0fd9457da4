"""Access tokens: fetched once, kept until they expire, fetched again after one 401."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID, uuid4

import orjson
import pytest

from dispatcher.core.credentials import OAuth2Client, basic
from dispatcher.core.model import Response, SendError
from dispatcher.transport import access_tokens
from dispatcher.transport.access_tokens import AccessTokens
from dispatcher.transport.post import Post
from dispatcher.transport.sender import Sender
from tests.certificates import Authority
from tests.hostile_receivers import CATALOGUE
from tests.hostile_receivers.server import served
from tests.receivers import HANG, Answer, RawReceiver, Receiver, read_request
from tests.transport.senders import new_sender

ENDPOINT = UUID(int=7)
SECRET = "the secret of the client"


def issued(token: str, **more: Any) -> Answer:
    body = {"access_token": token, "token_type": "Bearer", "expires_in": 3600, **more}
    return Answer(200, body=orjson.dumps(body))


class World:
    """A receiver, a token server, and what sends to them."""

    def __init__(self, sender: Sender, receiver: Receiver, server: Receiver) -> None:
        self.receiver, self.server = receiver, server
        self.tokens = AccessTokens(sender, failure_seconds=0.0)
        self.client = OAuth2Client(f"{server.url}token", "an id", SECRET)

    async def post(
        self,
        endpoint_id: UUID = ENDPOINT,
        *,
        timeout: float = 10.0,  # noqa: ASYNC109
    ) -> Response | SendError:
        post = Post(self.receiver.url, {"X-A": "b"}, b"{}", timeout, "env", ("X-C",), ("d",))
        return await self.tokens.post(self.client, endpoint_id, post)

    def sent(self) -> list[str]:
        """The Authorization headers that the receiver got."""
        return [request.headers["Authorization"] for request in self.receiver.requests]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with new_sender() as sender, Receiver() as receiver, Receiver() as server:
        made = World(sender, receiver, server)
        yield made
        made.tokens.close()
        await asyncio.sleep(0)


async def test_a_token_is_fetched_once_and_sent_with_every_request(world: World) -> None:
    world.server.answers = [issued("one")]
    world.client = replace(world.client, scope="a b", audience="https://api.example/")
    for _ in range(3):
        answer = await world.post()
        assert isinstance(answer, Response)
        assert answer.status == 200
    (request,) = world.server.requests
    assert (request.method, request.path) == ("POST", "/token")
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert request.headers["Authorization"] == basic("an+id", "the+secret+of+the+client")
    assert parse_qs(request.body.decode()) == {
        "grant_type": ["client_credentials"],
        "scope": ["a b"],
        "audience": ["https://api.example/"],
    }
    assert world.sent() == ["Bearer one"] * 3
    assert world.receiver.requests[0].headers["X-A"] == "b"
    assert world.receiver.requests[0].headers["X-C"] == "d"


async def test_a_secret_may_go_into_the_body(world: World) -> None:
    world.server.answers = [issued("one", expires_in="60")]
    world.client = replace(world.client, auth_method="client_secret_post")
    await world.post()
    (request,) = world.server.requests
    assert "Authorization" not in request.headers
    fields = parse_qs(request.body.decode())
    assert (fields["client_id"], fields["client_secret"]) == (["an id"], [SECRET])


async def test_many_attempts_wait_for_one_fetch(world: World) -> None:
    world.server.answers = [replace(issued("one"), delay=0.2)]
    await asyncio.gather(*(world.post() for _ in range(20)))
    assert len(world.server.requests) == 1
    assert world.sent() == ["Bearer one"] * 20


async def test_each_endpoint_has_its_own_token_and_new_credentials_a_new_one(world: World) -> None:
    world.server.answers = [issued("one"), issued("two"), issued("three")]
    await world.post()
    await world.post(uuid4())
    world.client = replace(world.client, client_secret="another")
    await world.post()
    assert world.sent() == ["Bearer one", "Bearer two", "Bearer three"]


async def test_a_token_is_replaced_before_it_expires(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(access_tokens, "monotonic", lambda: now[0])
    world.server.answers = [issued("one", expires_in=100), issued("two", expires_in=100)]
    for passed in (0.0, 89.0, 2.0):
        now[0] += passed
        await world.post()
    assert world.sent() == ["Bearer one", "Bearer one", "Bearer two"]


async def test_a_401_fetches_a_new_token_and_sends_once_more(world: World) -> None:
    world.server.answers = [issued("one"), issued("two"), issued("three")]
    world.receiver.answers = [200, 401, 200]
    await world.post()
    answer = await world.post()
    assert isinstance(answer, Response)
    assert answer.status == 200
    assert world.sent() == ["Bearer one", "Bearer one", "Bearer two"]
    world.receiver.otherwise = 401
    answer = await world.post()
    assert isinstance(answer, Response)
    assert answer.status == 401, "the second 401 is the outcome"
    assert world.sent()[3:] == ["Bearer two", "Bearer three"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(500, body=SECRET.encode()), "the token server answered 500"),
        (
            Answer(401, body=b'{"error":"invalid_client","error_description":"x"}'),
            "the token server answered 401 (invalid_client)",
        ),
        (Answer(400, body=b'{"error":"' + SECRET.encode() + b'"}'), "answered 400"),
        (Answer(302, headers={"Location": "http://127.0.0.1:1/"}), "answered 302"),
        (Answer(200, body=b"x" * 200_000), "over 64 KiB"),
        (Answer(200, body=b"[]"), "no access_token"),
        (Answer(200, body=b'{"access_token": 5}'), "no access_token"),
        (issued("line\r\nX-Injected: 1"), "no access_token"),
        (issued("a b"), "no access_token"),
        (issued("one", token_type="mac"), "no bearer"),
    ],
)
async def test_without_a_token_the_attempt_fails(world: World, answer: Answer, reason: str) -> None:
    world.server.otherwise = answer
    failed = await world.post()
    assert isinstance(failed, SendError)
    assert failed.code == "authentication"
    assert failed.reason.startswith("no access token: ")
    assert reason in failed.reason
    assert SECRET not in failed.reason
    assert world.receiver.requests == []
    world.server.otherwise = issued("one")
    assert isinstance(await world.post(), Response)


async def test_a_token_server_that_is_down_or_silent_fails_the_attempt_in_time(
    world: World,
) -> None:
    world.client = replace(world.client, token_url="http://127.0.0.1:1/")
    failed = await world.post()
    assert isinstance(failed, SendError)
    assert (failed.code, failed.reason[:17]) == ("authentication", "no access token: ")
    world.client = replace(world.client, token_url=world.server.url)
    world.server.otherwise = HANG
    failed = await world.post(timeout=0.3)
    assert isinstance(failed, SendError)
    assert failed.code == "authentication"
    assert 0.25 <= failed.duration < 30
    await world.server.wait_for(1)
    assert len(world.server.requests) == 1


async def test_the_egress_rules_apply_to_the_token_server_too() -> None:
    async with new_sender("127.0.0.1/32") as sender, Receiver() as receiver:
        world = World(sender, receiver, receiver)
        world.client = replace(world.client, token_url="http://169.254.169.254/")
        failed = await world.post()
        assert isinstance(failed, SendError)
        assert failed.code == "authentication"
        assert receiver.requests == []


async def test_a_failed_fetch_counts_for_all_attempts_of_a_moment(world: World) -> None:
    world.tokens = AccessTokens(world.tokens._sender, failure_seconds=60.0)
    world.server.otherwise = 500
    for _ in range(5):
        assert isinstance(await world.post(), SendError)
    assert len(world.server.requests) == 1


async def test_the_number_of_kept_tokens_is_limited(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_tokens, "TOKENS_LIMIT", 3)
    world.tokens = AccessTokens(world.tokens._sender)
    world.server.otherwise = issued("one")
    for _ in range(5):
        await world.post(uuid4())
    assert len(world.tokens) == 3


async def test_no_secret_is_in_the_repr(world: World) -> None:
    assert SECRET not in repr(world.client)


async def test_attempts_with_old_and_new_credentials_share_one_fetch_each(world: World) -> None:
    world.server.otherwise = HANG
    old, new = world.client, replace(world.client, client_secret="another")
    for client in (old, new, old, new):
        world.client = client
        assert isinstance(await world.post(timeout=0.2), SendError)
    await world.server.wait_for(2)
    assert len(world.server.requests) == 2


async def test_a_late_token_of_old_credentials_replaces_no_new_one(world: World) -> None:
    replaced = asyncio.Event()
    world.server.answers = [replace(issued("old"), after=replaced), issued("new"), issued("third")]
    late = asyncio.create_task(world.post())
    await world.server.wait_for(1)
    world.client = replace(world.client, client_secret="another")
    await world.post()
    replaced.set()
    await late
    await world.post()
    assert sorted(world.sent()) == ["Bearer new", "Bearer new", "Bearer old"]


async def test_closing_ends_every_fetch(world: World) -> None:
    world.server.otherwise = HANG
    waiting = []
    for secret in (SECRET, "another"):
        world.client = replace(world.client, client_secret=secret)
        waiting.append(asyncio.create_task(world.post()))
        await world.server.wait_for(len(waiting))
    world.tokens.close()
    async with asyncio.timeout(30):
        results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)


async def test_no_answer_of_a_token_server_does_harm(
    world: World, authority: Authority, tmp_path: Path
) -> None:
    """The whole catalogue of hostile receivers at once, as token servers."""
    async with served(CATALOGUE, authority, tmp_path) as urls:
        failed = []
        for number, url in enumerate(urls.values()):
            world.client = replace(world.client, token_url=url)
            failed.append(asyncio.create_task(world.post(UUID(int=number), timeout=3.0)))
        for error in await asyncio.gather(*failed):
            assert isinstance(error, SendError)
            assert (error.code, SECRET in error.reason) == ("authentication", False)
            assert error.reason.startswith("no access token: ")
        assert world.receiver.requests == []
        world.tokens.close()


async def test_a_token_server_that_quotes_the_request_reveals_no_secret(world: World) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, body = await read_request(reader)
        writer.write(body[body.index(b"client_secret") :])

    world.client = replace(world.client, client_secret="hush", auth_method="client_secret_post")
    async with RawReceiver(script) as server:
        world.client = replace(world.client, token_url=server.url)
        failed = await world.post()
    assert isinstance(failed, SendError)
    assert failed.reason == "no access token: the answer of the token server is not HTTP"


async def test_no_token_is_in_the_repr_of_its_fetch(world: World) -> None:
    world.server.otherwise = replace(issued("a-token"), delay=0.1)
    attempt = asyncio.create_task(world.post())
    await world.server.wait_for(1)
    (fetch,) = fetches()
    await attempt
    assert "a-token" not in repr(fetch)


async def test_the_number_of_fetches_without_a_waiting_attempt_is_limited(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_tokens, "UNATTENDED_LIMIT", 2)
    world.server.otherwise = HANG

    async def give_up_once_asked(endpoint_id: UUID) -> None:
        attempt = asyncio.create_task(world.post(endpoint_id, timeout=60.0))
        await world.server.wait_for(len(world.server.requests) + 1)
        attempt.cancel()
        with suppress(asyncio.CancelledError):
            await attempt

    for number in range(5):
        await give_up_once_asked(UUID(int=number))
    await asyncio.sleep(0)  # so that those which were ended have ended
    assert len(fetches()) == 2
    await give_up_once_asked(UUID(int=4))
    assert len(world.server.requests) == 6, "the ended fetch is started again"


def fetches() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task.get_name() == "fetch token"]
