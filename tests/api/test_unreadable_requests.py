"""Requests that are no HTTP, or expect what is not known, never come to a handler."""

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit

import orjson
import pytest

from dispatcher.api.app import HEADER_LIMIT_BYTES
from tests.api.conftest import JSON, JSONAPI, Api, Client
from tests.api.refusals import said


async def said_to(address: str, request: bytes) -> bytes:
    """All that is answered until the connection is closed."""
    at = urlsplit(address)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    try:
        writer.write(request)
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()
        await writer.wait_closed()


async def test_an_unreadable_header_is_a_400_and_its_token_is_not_logged(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    token = await api.token()
    head = f"GET /api/webhooks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\x00\r\n\r\n"
    answered = await said_to(api.address, head.encode())
    assert answered.startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 400 "))
    assert token not in caplog.text


def parts(answered: bytes) -> tuple[bytes, Mapping[str, str], bytes]:
    """Return the status line, the headers and the body of a response."""
    head, _, body = answered.partition(b"\r\n\r\n")
    line, *lines = head.split(b"\r\n")
    named = (header.decode().partition(": ") for header in lines)
    return line, {name: value for name, _, value in named}, body


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /livez HTTP/1.1\r\nHost: x\r\nX-A: sesame\x00\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nX-A: sesame" + b"x" * HEADER_LIMIT_BYTES + b"\r\n\r\n",
        b"GET /livez SESAME/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00sesame\r\n\r\n",
    ],
    ids=["NUL", "long header", "another protocol", "TLS"],
)
async def test_an_unreadable_request_is_answered_as_every_other(
    standing: Api, request_bytes: bytes
) -> None:
    line, headers, body = parts(await said_to(standing.address, request_bytes))
    assert b" 400 " in line
    assert headers["Content-Type"].startswith(JSON)
    error = orjson.loads(body)["error"]
    assert (error["code"], error["requestId"]) == ("bad_request", headers["X-Request-Id"])
    assert (headers["Server"], headers["Cache-Control"]) == ("dispatcher", "no-store")
    assert b"sesame" not in body.lower()


@pytest.mark.parametrize("form", [JSON, JSONAPI])
async def test_an_unknown_expectation_is_refused_as_every_other(ask: Client, form: str) -> None:
    headers = {"Expect": "sesame", "X_Request_Id": "mine", "Accept": form}
    for method, path in (("GET", "/api/webhooks"), ("POST", "/api/events"), ("GET", "/livez")):
        refused = await ask(method, path, **headers)
        assert (refused.status, refused.headers["X-Request-Id"]) == (417, "mine")
        said(refused, "expectation_failed")


@pytest.mark.parametrize("path", ["/nonsense", "/sign-in"])
async def test_an_unknown_expectation_elsewhere_has_the_common_headers(
    ask: Client, path: str
) -> None:
    refused = await ask("GET", path, Expect="sesame", X_Request_Id="mine")
    assert (refused.status, refused.headers["X-Request-Id"]) == (417, "mine")
    assert refused.headers["Server"] == "dispatcher"


async def test_a_client_that_asks_may_send_the_body(standing: Api) -> None:
    body = b'{"type":"user.created","data":{}}'
    head = (
        f"POST /api/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {await standing.token()}\r\n"
        f"Content-Type: {JSON}\r\nContent-Length: {len(body)}\r\nExpect: 100-Continue\r\n"
        "Connection: close\r\n\r\n"
    )
    at = urlsplit(standing.address)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    try:
        writer.write(head.encode())
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5) == (
            b"HTTP/1.1 100 Continue\r\n\r\n"
        )
        writer.write(body)
        line, headers, _ = parts(await asyncio.wait_for(reader.read(), 5))
    finally:
        writer.close()
        await writer.wait_closed()
    assert b" 201 " in line
    assert headers["Location"].startswith("/api/events/evt_")
