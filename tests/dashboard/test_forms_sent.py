"""Forms as they arrive: too late, too old, from elsewhere, or as nothing that is a form."""

import asyncio
from urllib.parse import urlsplit

import aiohttp
import pytest

from dispatcher.dashboard.protection import is_masked, masked
from dispatcher.dashboard.signing_in import LARGE_FORMS_OF_ONE_LIMIT
from tests.api.conftest import Api, Client
from tests.conftest import Connection
from tests.dashboard.conftest import Visitor

FORM = "application/x-www-form-urlencoded"
TYPED: dict[str, str | list[str]] = {
    "environment": "env_default",
    "name": "typed.type",
    "description": 'A "long" <text>\r\nin two lines',
}
URL = "https://example.com/"
PATH = "/e/env_default/event-types/new"


async def count(connection: Connection, table: str) -> int:
    total: int = await connection.fetchval(f"SELECT count(*) FROM dispatcher.{table}")  # noqa: S608
    return total


async def test_a_form_sent_after_the_sign_in_ended_is_shown_again_and_not_lost(
    api: Api, own_visitor: Visitor, connection: Connection
) -> None:
    await connection.execute("UPDATE dispatcher.dashboard_sessions SET expires_at = now()")
    late = await own_visitor.send(PATH, TYPED, Sec_Fetch_Site="same-origin")
    assert (late.status, "You were signed out" in late.text) == (401, True)
    wrong = await own_visitor.send(
        "/sign-in", {**late.markup.form("/sign-in").fields, "token": "no"}
    )
    assert wrong.status == 401
    fields = wrong.markup.form("/sign-in").fields
    again = await own_visitor.send("/sign-in", {**fields, "token": await api.token()})
    assert (again.status, "This was not done" in again.text) == (200, True)
    assert await count(connection, "event_types") == 0
    saved = await own_visitor.submit(again.markup.form("/event-types/new"))
    assert "Created." in saved.text
    kept = await connection.fetchval("SELECT description FROM dispatcher.event_types")
    assert kept == TYPED["description"]


async def test_a_form_of_an_earlier_sign_in_is_shown_again_and_not_lost(
    own_visitor: Visitor, connection: Connection
) -> None:
    stale = await own_visitor.send(PATH, TYPED, csrf=masked("0" * 64), Sec_Fetch_Site="same-origin")
    assert (stale.status, "This was not done" in stale.text) == (403, True)
    assert "Created." in (await own_visitor.submit(stale.markup.form("/event-types/new"))).text


@pytest.mark.parametrize(
    "headers", [{}, {"Sec_Fetch_Site": "cross-site"}, {"Origin": "https://evil.example"}]
)
async def test_a_form_that_may_be_another_sites_is_not_kept(
    visitor: Visitor, database: Connection, headers: dict[str, str]
) -> None:
    stale = await visitor.send(PATH, TYPED, csrf=masked("0" * 64), **headers)
    assert (stale.status, "typed.type" in stale.text) == (403, False)
    await database.execute("UPDATE dispatcher.dashboard_sessions SET expires_at = now()")
    late = await visitor.send(PATH, TYPED, **headers)
    assert (late.path, "typed.type" in late.text) == ("/sign-in", False)


NO_KEPT = (
    "",
    "[]",
    "{",
    '{"action": 1, "fields": []}',
    '{"action": "https://evil.example/", "fields": []}',
    '{"action": "//evil.example/e/", "fields": []}',
    '{"action": "/e/env_default/pause", "fields": [1]}',
    '{"action": "/e/env_default/pause"}',
    "[" * 100_000,
)


async def test_an_invalid_kept_form_is_not_offered(standing: Api, stranger: Visitor) -> None:
    token = await standing.token()
    for kept in NO_KEPT:
        page = await stranger.send("/sign-in", {"token": token, "kept": kept})
        assert page.path == "/e/env_default/", kept[:60]


NO_FORMS = [
    ("multipart/form-data; boundary=x", b"--x\r\n" + b"a: b\r\n" * 100_000 + b"\r\n--x--"),
    (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="token"\r\nContent-Transfer-Encoding:'
        b" nonsense\r\n\r\nx\r\n--x--\r\n",
    ),
    (
        "multipart/form-data; boundary=x",
        b"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y--\r\n--x--\r\n",
    ),
    ("text/plain", b"token=x"),
    ("application/json", b"{}"),
    (FORM, b"no pair"),
    (FORM, b"a=%ff"),
    (FORM, b"&" * 20_000),
    (FORM, b"a=b&" * 20_000 + b"a=b"),
    (f"{FORM}; charset=utf-16", b"a=b"),
]


async def test_an_invalid_form_is_a_400_without_a_log_line(
    visitor: Visitor, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    for kind, body in NO_FORMS:
        for path in ("/sign-in", PATH, "/sign-out"):
            headers = {"Content-Type": kind}
            async with visitor.session.post(path, data=body, headers=headers) as answer:
                assert (answer.status, answer.content_type) == (400, "text/html"), (kind, body[:99])
    assert "request failed" not in capsys.readouterr().out


LARGE_FORM_BYTES = 100_000


@pytest.mark.long
async def test_large_forms_of_strangers_fill_no_memory_and_keep_no_sign_in_out(
    api: Api, own_visitor: Visitor
) -> None:
    at = urlsplit(api.address)
    assert at.hostname is not None
    assert at.port is not None
    head = f"POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM}\r\n"
    head += f"Content-Length: {LARGE_FORM_BYTES}\r\n\r\n"
    streams = [
        await asyncio.open_connection(at.hostname, at.port)
        for _ in range(2 * LARGE_FORMS_OF_ONE_LIMIT + 1)
    ]
    for _, writer in streams:
        writer.write(f"{head}a=b".encode())
    reading = [asyncio.create_task(reader.readline()) for reader, _ in streams]
    refused, waiting = await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
    assert [task.result() for task in refused] == [b"HTTP/1.1 503 Service Unavailable\r\n"]
    assert len(waiting) == 2 * LARGE_FORMS_OF_ONE_LIMIT
    assert (await own_visitor.send("/sign-in", {"token": await api.token()})).status == 200
    # A client of another address does not wait for them.
    reader, writer = await asyncio.open_connection(
        at.hostname, at.port, local_addr=("127.0.0.2", 0)
    )
    writer.write(head.encode() + b"token=x".ljust(LARGE_FORM_BYTES, b"x"))
    assert await reader.readline() == b"HTTP/1.1 401 Unauthorized\r\n"
    refused, _ = await asyncio.wait(reading[LARGE_FORMS_OF_ONE_LIMIT:])
    assert {task.result() for task in refused} == {b"HTTP/1.1 503 Service Unavailable\r\n"}
    for _, stream in [*streams, (reader, writer)]:
        stream.close()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_compressed_form_is_a_400(visitor: Visitor) -> None:
    headers = {"Content-Type": FORM, "Content-Encoding": "gzip"}
    async with visitor.session.post("/sign-in", data=b"x", headers=headers) as answer:
        assert answer.status == 400


async def test_data_nested_too_deeply_is_an_error_in_the_form(
    admin: Client, visitor: Visitor
) -> None:
    webhook = await admin("POST", "/api/webhooks", {"url": URL, "events": ["*"], "name": "A"})
    settings = f"/webhooks/{webhook.data['id']}/settings"
    for levels in (64, 200, 990, 20_000):
        deep = '{"a":' * levels + "1" + "}" * levels
        fields: dict[str, str | list[str]] = {"url": URL, "name": "A", "patterns": "*"}
        page = await visitor.post(settings, {**fields, "metadata": deep})
        assert page.status == (200 if levels == 64 else 422)
        assert ('id="metadata-error"' in page.text) is (levels > 64)
        for field in ("example", "schema") if levels > 64 else ():
            page = await visitor.post("/event-types/new", {"name": "a.b", field: deep})
            assert (page.status, f'id="{field}-error"' in page.text) == (422, True)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Origin": "own"}, 303),
        ({"Origin": "https://dispatcher.example", "X-Forwarded-Host": "dispatcher.example"}, 303),
        ({"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"}, 303),
        ({"Origin": "own", "Sec-Fetch-Site": "cross-site"}, 403),
        ({}, 303),
    ],
)
async def test_another_site_cannot_sign_a_user_in_if_only_origin_is_sent(
    standing: Api, headers: dict[str, str], status: int
) -> None:
    token = await standing.token()
    named = {name: standing.address if value == "own" else value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession(standing.address) as session,
        session.post(
            "/sign-in", data={"token": token}, headers=named, allow_redirects=False
        ) as answer,
    ):
        assert answer.status == status
        assert ("Set-Cookie" in answer.headers) is (status == 303)
        assert answer.headers["Referrer-Policy"] == "same-origin"


def test_a_masked_token_differs_each_time_and_is_known_again() -> None:
    token = "0123456789abcdef" * 4
    made = {masked(token) for _ in range(100)}
    assert len(made) == 100
    assert all(is_masked(masked_token, token) for masked_token in made)
    assert not any(token in masked_token for masked_token in made)


@pytest.mark.parametrize("sent", ["", "00", "0" * 128, "ü" * 64, "0123456789abcdef" * 4, "g" * 128])
def test_an_invalid_masked_token_is_refused(sent: str) -> None:
    assert not is_masked(sent, "0123456789abcdef" * 4)
