"""The client, against a daemon: both kinds by the same stories, the blocking one in a thread."""

import asyncio
import inspect
import json
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from uuid import UUID, uuid4

import pytest

from dispatcher import client as clients
from dispatcher import receiver as verifier
from dispatcher.client import AsyncClient, Client, NotFoundError, Page, Resource
from dispatcher.client.resources import JsonText, Response
from tests.api.conftest import OTHER, Api
from tests.conftest import Connection
from tests.receivers import Receiver
from tests.waiting import until

Ask = Callable[..., Awaitable[Any]]
"""`await ask("webhooks.create", url=…)`, whichever the kind of client."""

TOKEN = "x" * 40


def asker(client: Client | AsyncClient) -> Ask:
    async def ask(name: str, /, *args: Any, **kwargs: Any) -> Any:
        group, _, method = name.partition(".")
        called = getattr(getattr(client, group), method)
        if isinstance(client, Client):
            return await asyncio.to_thread(lambda: gathered(called(*args, **kwargs)))
        answer = called(*args, **kwargs)
        return await answer if inspect.isawaitable(answer) else [item async for item in answer]

    return ask


def gathered(answer: Any) -> Any:
    """An iterator goes on asking while it is iterated over, so that belongs in the thread too."""
    return list(answer) if inspect.isgenerator(answer) else answer


@asynccontextmanager
async def asker_of(kind: str, api: Api, environment: str = "*") -> AsyncIterator[Ask]:
    token = await api.token("admin", environment)
    if kind == "blocking":
        yield asker(Client(api.address, token))
        return
    async with AsyncClient(api.address, token) as client:
        yield asker(client)


@pytest.fixture(params=["blocking", "awaiting"])
async def ask(request: pytest.FixtureRequest, standing: Api, home: str) -> AsyncIterator[Ask]:
    """An administrator of the test's environment."""
    async with asker_of(request.param, standing, home) as ask:
        yield ask


# ── webhooks ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_webhook_is_made_listed_changed_and_deleted(ask: Ask, receiver: Receiver) -> None:
    made = await ask(
        "webhooks.create", url=receiver.url, events=["user.created"], name="Sync", max_in_flight=3
    )
    assert UUID(made.id)
    assert made["url"] == made.url == receiver.url
    assert (made["events"], made.active, made.max_in_flight) == (["user.created"], True, 3)
    assert made.created_at == made["createdAt"]
    assert len(made["secret"]) == 64
    assert made.secret == made.signing_secret == made["secret"]

    assert await ask("webhooks.list", search="nothing") == []
    [webhook] = await ask("webhooks.list", search="SYNC", state="active")
    assert webhook.id == made.id
    [listed] = await ask("webhooks.list")
    assert (listed.id, listed.name, "secret" in listed) == (made.id, "Sync", False)
    changed = await ask("webhooks.update", made.id, events=["user.*", "a"], retry={"retries": 2})
    assert (sorted(changed.events), changed.retry) == (["a", "user.*"], {"retries": 2})
    assert (await ask("webhooks.update", made.id, retry=None)).retry is None
    assert (await ask("webhooks.get", UUID(made.id))).updated_at >= changed.updated_at

    assert await ask("webhooks.delete", made.id) is None
    with pytest.raises(clients.NotFoundError) as refused:
        await ask("webhooks.get", made.id)
    assert (refused.value.status, refused.value.code) == (404, "not_found")
    assert refused.value.request_id


async def test_rotating_returns_a_new_secret(ask: Ask, receiver: Receiver) -> None:
    made = await ask("webhooks.create", receiver.url, ["*"])
    rotated = await ask("webhooks.rotate_secret", made.id)
    assert len(rotated["secret"]) == 64
    assert rotated.secret != made.secret
    again = await ask("webhooks.rotate_secret", made.id, overlap_seconds=60)
    assert again.previous_secret_until is not None
    assert again.secret not in repr(again)


async def test_a_ping_arrives_and_its_signature_is_valid(ask: Ask, receiver: Receiver) -> None:
    made = await ask("webhooks.create", receiver.url, ["user.created"])
    sent = await ask("webhooks.test_ping", made.id)
    assert (sent.event, sent.webhook_id) == ("webhook.test", made.id)
    [request] = await receiver.wait_for(1)
    event = Client.webhooks.construct_event(request.body, request.headers, made.secret)
    assert (event["event"], event["event_id"]) == ("webhook.test", sent.event_id)

    async def delivered() -> bool:
        return bool((await ask("deliveries.get", sent.id)).status == "DELIVERED")

    await until(delivered, "the ping is delivered")
    [attempt] = (await ask("deliveries.get", sent.id)).attempt_list
    assert (attempt.number, attempt.status) == (1, 200)


async def test_listing_deliveries_continues_on_the_next_page(ask: Ask, receiver: Receiver) -> None:
    made = await ask("webhooks.create", receiver.url, ["*"])
    for n in range(5):
        await ask("events.emit", "a.b" if n % 2 else "a.c", {"n": n})
    await receiver.wait_for(5)
    query = {"since": datetime.now(UTC) - timedelta(hours=1), "until": "2100-01-01T00:00:00Z"}

    async def recorded() -> bool:
        return len(await ask("webhooks.list_deliveries", made.id, status="DELIVERED")) == 5

    await until(recorded, "all are delivered")
    seen: list[str] = []
    cursor, pages = None, 0
    while pages == 0 or cursor is not None:
        page = await ask("webhooks.list_deliveries", made.id, limit=2, cursor=cursor, **query)
        assert isinstance(page, Page)
        assert page["items"] == page.items == tuple(page)
        assert page["nextCursor"] == page.next_cursor
        seen += [item.id for item in page.items]
        cursor, pages = page.next_cursor, pages + 1
    assert (len(set(seen)), pages) == (5, 3)
    followed = await ask("webhooks.each_delivery", made.id, limit=2)
    assert [item["id"] for item in followed] == seen
    assert [item.payload["data"]["n"] for item in followed] == [4, 3, 2, 1, 0]
    only = await ask("webhooks.each_delivery", made.id, event="a.b", limit=1)
    assert len(only) == 2
    assert [item.id for item in await ask("deliveries.each", limit=3)] == seen


async def test_all_deliveries_of_an_event_are_listed(ask: Ask, receiver: Receiver) -> None:
    made = {(await ask("webhooks.create", receiver.url, ["a.b"])).id for _ in range(5)}
    event = await ask("events.emit", "a.b")
    await ask("events.emit", "a.b")
    await receiver.wait_for(10)
    page = await ask("events.list_deliveries", event.id, limit=2)
    assert (len(page.items), page.next_cursor is None) == (2, False)
    assert await ask("events.list_deliveries", event.id, limit=3, cursor=page.next_cursor)
    listed = await ask("events.each_delivery", event.id, limit=2)
    assert {item.webhook_id for item in listed} == made
    assert {item.event_id for item in listed} == {event.id}
    assert [item.id for item in listed] == [
        item.id for item in (await ask("events.get", event.id)).deliveries
    ]
    for unknown in ("evt_1", "dlv_1", "none"):
        with pytest.raises(NotFoundError):
            await ask("events.list_deliveries", unknown)


async def test_failed_deliveries_are_recovered(
    ask: Ask, receiver: Receiver, database: Connection
) -> None:
    made = await ask("webhooks.create", receiver.url, ["*"], active=False)
    since = datetime.now(UTC) - timedelta(minutes=1)
    await ask("events.emit", "a.b", {"n": 1})

    async def fanned_out() -> bool:
        return not await database.fetchval("SELECT count(*) FROM dispatcher.inbox")

    await until(fanned_out, "the event is fanned out")
    await ask("webhooks.update", made.id, active=True)
    counted = await ask("webhooks.recover", made.id, since, dry_run=True)
    assert (counted.webhook_id, counted.failed, counted.missed) == (made.id, 0, 1)
    started = await ask("webhooks.recover", made.id, since.isoformat(), rate=100)
    await receiver.wait_for(1)

    async def done() -> bool:
        return bool((await ask("webhooks.recovery", made.id, started.id)).state == "DONE")

    await until(done, "the recovery is done")
    with pytest.raises(clients.ConflictError, match="is DONE"):
        await ask("webhooks.cancel_recovery", made.id, started.id)


# ── events, types, environments ──────────────────────────────────────────────────────────────────


async def fanned_out(ask: Ask, event: str) -> None:
    async def is_no_longer_queued() -> bool:
        return (await ask("events.get", event)).outcome["place"] is None

    await until(is_no_longer_queued, "the event is fanned out")


async def test_an_event_is_emitted_once_a_key(ask: Ask) -> None:
    first = await ask("events.emit", "a.b", {"n": 1.5}, idempotency_key="k")
    again = await ask("events.emit", "a.b", {"n": 1.5}, idempotency_key="k")
    other = await ask("events.emit", "a.b", {"n": 1.5})
    assert first.id == again.id != other.id
    await fanned_out(ask, first.id)
    read = await ask("events.get", first.id)
    assert (read.type, read.data, list(read.deliveries)) == ("a.b", {"n": 1.5}, [])
    assert [event.id for event in await ask("events.each", type="a.*", limit=1)] == [
        other.id,
        first.id,
    ]
    assert len(await ask("events.list", id=first.id)) == 1
    assert (await ask("events.list", id=first.id))[0].outcome is None
    [listed_event] = await ask("events.list", id=first.id, outcome=True)
    assert (listed_event.outcome["delivered"], listed_event.outcome["isPartial"]) == (0, False)
    assert listed_event.outcome == read.outcome
    with pytest.raises(clients.ConflictError):
        await ask("events.emit", "a.b", {"n": 2}, idempotency_key="k")


async def test_many_events_are_emitted_in_one_request(ask: Ask) -> None:
    events = [
        {"type": "a.b", "data": JsonText("1.50"), "idempotency_key": "k"},
        {"type": "a.c"},
    ]
    first = await ask("events.emit_many", events)
    again = await ask("events.emit_many", events)
    assert [event.repeated for event in first] == [False, False]
    assert [event.repeated for event in again] == [True, False]
    assert again[0].id == first[0].id
    read = [await ask("events.get", event.id) for event in first]
    assert [(event.type, event.data) for event in read] == [("a.b", 1.5), ("a.c", None)]
    with pytest.raises(clients.InvalidError) as raised:
        await ask("events.emit_many", [{"type": "a.b"}, {"type": "endpoint.x"}])
    assert raised.value.details[0]["pointer"] == "/1/type"


async def test_event_types_are_described_and_taken_back(ask: Ask) -> None:
    put = await ask("event_types.put", "a.b", description="It was so.", schema={"type": "object"})
    assert (put.name, put.description) == ("a.b", "It was so.")
    assert (await ask("event_types.get", "a.b")).schema == {"type": "object"}
    assert [event_type.name for event_type in await ask("event_types.list")] == ["a.b"]
    await ask("event_types.delete", "a.b")
    assert await ask("event_types.list") == []


async def test_a_client_can_be_bound_to_another_environment(
    api: Api, other_environment: str
) -> None:
    client = Client(api.address, await api.token())
    other = client.within(other_environment)

    def told() -> list[list[str]]:
        other.events.emit("a.b")
        ids = sorted(environment.id for environment in client.environments.each(limit=1))
        return [ids, [e.type for e in client.events.list()], [e.type for e in other.events.list()]]

    assert await asyncio.to_thread(told) == [["env_default", OTHER], [], ["a.b"]]


async def test_a_delivery_is_cancelled_and_sent_again(ask: Ask, receiver: Receiver) -> None:
    receiver.answers = [500]
    made = await ask("webhooks.create", receiver.url, ["*"], retry={"base": 60})
    await ask("events.emit", "a.b")
    await receiver.wait_for(1)

    async def failed_once() -> bool:
        page = await ask("webhooks.list_deliveries", made.id)
        return bool(page and page[0].attempts == 1)

    await until(failed_once, "the attempt is on record")
    [delivery] = await ask("webhooks.list_deliveries", made.id)
    assert (await ask("deliveries.cancel", delivery.id)).status == "CANCELLED"
    assert (await ask("deliveries.retry", delivery.id)).status == "PENDING"
    await receiver.wait_for(2)


async def test_many_deliveries_are_counted_retried_and_listed(ask: Ask, receiver: Receiver) -> None:
    receiver.otherwise = 500
    made = await ask("webhooks.create", receiver.url, ["*"], retry={"retries": 0})
    await ask("events.emit", "a.b")

    async def has_failed() -> bool:
        return bool(await ask("deliveries.list", status="FAILED", webhook_id=made.id))

    await until(has_failed, "a failed delivery")
    receiver.otherwise = 200
    filters = {
        "webhook_id": UUID(made.id),
        "response_status": "5xx",
        "since": datetime.now(UTC) - timedelta(hours=1),
    }
    counted = await ask("bulk_actions.start", "retry", filters, dry_run=True)
    assert (counted.number, counted.more) == (1, False)
    started = await ask("bulk_actions.start", "retry", filters, below=counted.below, rate=1000)
    assert started.filters["webhookId"] == made.id

    async def is_done() -> bool:
        return bool((await ask("bulk_actions.get", started.id)).state == "DONE")

    await until(is_done, "the bulk action is done")
    assert [action.made for action in await ask("bulk_actions.list")] == [1]
    assert [action.id for action in await ask("bulk_actions.each")] == [started.id]
    named = await ask("bulk_actions.start", "cancel", delivery_ids=["dlv_1"], dry_run=True)
    assert named.number == 1
    with pytest.raises(clients.ConflictError):
        await ask("bulk_actions.cancel", started.id)


# ── errors ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_refusal_names_its_reason(ask: Ask) -> None:
    with pytest.raises(clients.InvalidError) as refused:
        await ask("webhooks.create", url="http://10.0.0.1/", events=["*"])
    assert (refused.value.status, refused.value.code) == (422, "invalid")
    [detail] = refused.value.details
    assert detail["pointer"] == "/url"
    with pytest.raises(clients.InvalidError, match="limit"):
        await ask("webhooks.list_deliveries", uuid4(), limit=1000)


async def test_an_insufficient_token_has_its_own_error_and_is_never_shown(
    standing: Api,
) -> None:
    reader = asker(Client(standing.address, await standing.token("read")))
    with pytest.raises(clients.ForbiddenError):
        await reader("webhooks.create", url="https://example.com/", events=["*"])
    wrong = Client(standing.address, TOKEN)
    with pytest.raises(clients.UnauthorizedError) as refused:
        await asker(wrong)("webhooks.list")
    assert TOKEN not in f"{refused.value!r}{refused.value}{wrong!r}{vars(wrong)}"


@pytest.mark.parametrize("id_", ["..", ".", "a/../b", "x?y=1", "é"])
@pytest.mark.parametrize("kind", ["blocking", "awaiting"])
async def test_an_id_with_special_characters_reaches_no_other_route(
    standing: Api, kind: str, id_: str
) -> None:
    async with asker_of(kind, standing) as ask:
        with pytest.raises((clients.NotFoundError, ValueError)):
            await ask("webhooks.get", id_)


@pytest.mark.parametrize("url", ["", "example.com", "ftp://example.com", "http://u:p@example.com"])
def test_an_invalid_base_url_is_refused(url: str) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(ValueError, match="address") as refused:
            kind(url, TOKEN)
        assert TOKEN not in str(refused.value)


@pytest.mark.parametrize("token", ["", "a\nb", "é"])
def test_the_client_refuses_an_invalid_token(token: str) -> None:
    with pytest.raises(ValueError, match="a token is needed"):
        Client("http://127.0.0.1:1", token)


# ── repetitions ──────────────────────────────────────────────────────────────────────────────────


class Script(HTTPServer):
    """Gives one answer after the other, then the last one again; None closes the connection."""

    def __init__(self, answers: list[tuple[int, bytes] | None]) -> None:
        super().__init__(("127.0.0.1", 0), Scripted)
        self.answers = answers
        self.keys: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Scripted(BaseHTTPRequestHandler):
    server: Script

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.keys.append(self.headers.get("Idempotency-Key"))
        answers = self.server.answers
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer is None:
            return
        self.send_response(answer[0])
        self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(answer[1])

    do_GET = do_POST  # noqa: N815 - the name that http.server calls

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def answering(*answers: tuple[int, bytes] | None) -> Iterator[Script]:
    with Script(list(answers)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dispatcher.client.call.PAUSES_SECONDS", (0.01, 0.01))


@pytest.fixture(params=["blocking", "awaiting"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def asking(kind: str, url: str, name: str, *args: Any) -> Any:
    if kind == "blocking":
        return await asker(Client(url, TOKEN, timeout=30))(name, *args)
    async with AsyncClient(url, TOKEN, timeout=30) as client:
        return await asker(client)(name, *args)


OK = (200, b'{"success":true,"data":{"id":"1"}}')
BUSY = (503, b'{"success":false,"error":{"code":"unavailable","message":"not now"}}')


async def test_a_repeatable_call_is_repeated_with_the_same_key(kind: str) -> None:
    with answering(BUSY, None, OK) as server:
        made = await asking(kind, server.url, "webhooks.create", "https://example.com/", ["*"])
        await asking(kind, server.url, "webhooks.create", "https://example.com/", ["*"])
    assert made == {"id": "1"}
    assert server.keys[0] == server.keys[1] == server.keys[2] != server.keys[3]
    assert len(server.keys) == 4


async def test_a_call_is_repeated_only_a_few_times(kind: str) -> None:
    with answering(BUSY) as server, pytest.raises(clients.UnavailableError, match="not now"):
        await asking(kind, server.url, "webhooks.list")
    assert len(server.keys) == 3


async def test_a_rotation_whose_answer_was_lost_is_not_repeated(kind: str) -> None:
    with answering(None) as server, pytest.raises(clients.ConnectionFailedError) as failed:
        await asking(kind, server.url, "webhooks.rotate_secret", "1")
    assert (len(server.keys), failed.value.sent) == (1, True)


async def test_a_refused_connection_is_a_connection_error(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(
        clients.ConnectionFailedError, match=f"no connection to 127.0.0.1:{port}"
    ) as e:
        await asking(kind, f"http://127.0.0.1:{port}", "webhooks.rotate_secret", "1")
    assert e.value.sent is False


async def test_https_to_a_plain_http_server_is_reported_as_a_failure_of_tls(kind: str) -> None:
    with answering(None) as server:
        url = server.url.replace("http://", "https://")
        with pytest.raises(clients.ConnectionFailedError, match="TLS failed") as e:
            await asking(kind, url, "webhooks.rotate_secret", "1")
    assert e.value.sent is False


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((502, b"<html>"), clients.UnavailableError),
        ((302, b""), clients.ApiError),
        ((200, b"not json"), clients.ApiError),
        ((200, b"[" * 100_000), clients.ApiError),
        ((200, b'{"success":false}'), clients.ApiError),
        ((404, b'{"success":false,"error":"?"}'), clients.NotFoundError),
    ],
)
async def test_a_response_of_another_program_is_an_error(
    kind: str, answer: tuple[int, bytes], error: type[clients.ApiError]
) -> None:
    with answering(answer) as server, pytest.raises(error, match="not one of Dispatcher's API"):
        await asking(kind, server.url, "webhooks.list")


# ── by itself ────────────────────────────────────────────────────────────────────────────────────


def test_the_client_offers_the_construct_event_of_the_receiver() -> None:
    assert Client.webhooks.construct_event is verifier.construct_event
    assert AsyncClient.webhooks.construct_event is verifier.construct_event
    client = Client("http://127.0.0.1:1", TOKEN)
    with pytest.raises(verifier.SignatureVerificationError):
        client.webhooks.construct_event(b"{}", {}, "a" * 64)


def test_a_resource_has_all_fields_and_is_read_by_name_or_key() -> None:
    made = Resource({"id": "1", "createdAt": "t", "secret": "hush", "attemptList": [{"nextAt": 1}]})
    assert (made.created_at, made["createdAt"], made.attempt_list[0].next_at) == ("t", "t", 1)
    assert json.loads(json.dumps(made))["secret"] == "hush"
    assert "hush" not in f"{made!r}{made}"
    with pytest.raises(AttributeError, match="'updatedAt'"):
        _ = made.updated_at
    assert not hasattr(made, "other")


@pytest.mark.parametrize(("after", "seconds"), [("7", 7.0), ("soon", None), (None, None)])
def test_an_error_says_how_long_to_wait(after: str | None, seconds: float | None) -> None:
    body = b'{"success":false,"error":{"code":"too_many_wrong_tokens","message":"m"}}'
    headers = {} if after is None else {"retry-after": after}
    with pytest.raises(clients.RateLimitedError) as refused:
        Response(429, headers, body).data()
    assert refused.value.retry_after == seconds


def test_a_method_has_its_documentation() -> None:
    assert inspect.getdoc(Client("http://127.0.0.1:1", TOKEN).webhooks.create) is not None


def test_the_blocking_client_needs_the_standard_library_only() -> None:
    code = (
        "import sys; before = set(sys.modules)\n"
        "import dispatcher.client\n"
        "loaded = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*(loaded - set(sys.stdlib_module_names)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["dispatcher"]


async def test_field_names_of_credentials_are_converted_and_those_of_metadata_are_not(
    ask: Ask, receiver: Receiver
) -> None:
    client = {"type": "oauth2", "token_url": receiver.url, "client_id": "me"}
    webhook = await ask(
        "webhooks.create",
        url=receiver.url,
        events=["a"],
        authentication={**client, "client_secret": "hush"},
        metadata={"some_name": {"other_name": 1}},
    )
    assert webhook.authentication["tokenUrl"] == receiver.url
    assert webhook.metadata == {"some_name": {"other_name": 1}}
    assert "hush" not in repr(webhook)
    changed = await ask("webhooks.update", webhook.id, authentication=None)
    assert changed.authentication is None
