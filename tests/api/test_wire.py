"""Requests that are odd as bytes: slow, ambiguous, too long."""

import asyncio

import orjson
import pytest

from dispatcher.api.requests import json_body
from dispatcher.telemetry import observe
from tests.api.conftest import JSON, Api
from tests.api.refusals import untouched
from tests.conftest import Connection


async def exchange(
    api: Api, *parts: bytes, every: float = 0.0, until: bytes | None = None
) -> bytes:
    """Send bytes; return the answer up to its own end mark, or to the end of the connection."""
    host, _, port = api.address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))

    async def send() -> None:
        for part in parts:
            writer.write(part)
            await asyncio.sleep(every)  # a slow sender is the subject

    sending = asyncio.create_task(send())
    try:
        async with asyncio.timeout(30):
            return await (reader.read() if until is None else reader.readuntil(until))
    finally:
        sending.cancel()
        writer.close()


def head(token: str, *lines: str, method: str = "POST") -> bytes:
    common = ["Host: x", f"Authorization: Bearer {token}", f"Content-Type: {JSON}"]
    return "\r\n".join([f"{method} /api/webhooks HTTP/1.1", *common, *lines, "", ""]).encode()


BODY = orjson.dumps({"url": "https://example.com/", "events": ["user.created"]})


async def test_a_body_that_takes_too_long_gets_a_408(
    standing: Api, database: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_body, "SECONDS", 0.3)
    start = head(await standing.token(), "Transfer-Encoding: chunked")
    async with untouched(database):
        chunks = [b"1\r\n \r\n"] * 100
        answer = await exchange(standing, start, *chunks, every=0.05, until=b'"code":"too_slow"')
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"Connection: close\r\n" in answer


async def test_a_client_that_expects_100_continue_gets_it(standing: Api) -> None:
    lines = ["Expect: 100-continue", f"Content-Length: {len(BODY)}", "Connection: close"]
    answer = await exchange(standing, head(await standing.token(), *lines), BODY, every=0.1)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 ")


@pytest.mark.parametrize("is_aborted", [True, False])
async def test_a_client_that_goes_away_within_its_body_is_no_failure_of_ours(
    standing: Api, monkeypatch: pytest.MonkeyPatch, is_aborted: bool
) -> None:
    statuses: asyncio.Queue[int] = asyncio.Queue()
    monkeypatch.setattr(
        observe.requests, "answered", lambda _, __, status, ___: statuses.put_nowait(status)
    )
    lines = ["Expect: 100-continue", f"Content-Length: {len(BODY)}"]
    host, _, port = standing.address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head(await standing.token(), *lines))
    assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
    writer.write(BODY[:-1])
    await writer.drain()
    if is_aborted:
        writer.transport.abort()
    writer.close()
    async with asyncio.timeout(30):
        assert await statuses.get() == 400


SMUGGLING = {
    "two lengths": ["Content-Length: 5", f"Content-Length: {len(BODY)}"],
    "two lengths in one": [f"Content-Length: {len(BODY)}, 5"],
    "a length and chunks": [f"Content-Length: {len(BODY)}", "Transfer-Encoding: chunked"],
    "a signed length": [f"Content-Length: +{len(BODY)}"],
    "a negative length": ["Content-Length: -1"],
    "a length that is none": ["Content-Length: x"],
    "a length with a space before the colon": [f"Content-Length : {len(BODY)}"],
    "chunks not last": ["Transfer-Encoding: chunked, gzip"],
    "chunks twice": ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
    "no chunks after all": ["Transfer-Encoding: xchunked"],
    "a header over two lines": ["X-A: b", " c", f"Content-Length: {len(BODY)}"],
    "a header with a NUL": ["X-A: \x00", f"Content-Length: {len(BODY)}"],
    "a header of 20,000 bytes": [f"X-A: {'a' * 20_000}", f"Content-Length: {len(BODY)}"],
}


@pytest.mark.parametrize("lines", SMUGGLING.values(), ids=SMUGGLING.keys())
async def test_a_request_that_could_be_read_as_two_is_refused(
    standing: Api, database: Connection, lines: list[str]
) -> None:
    token = await standing.token()
    async with untouched(database):
        answer = await exchange(standing, head(token, *lines), BODY)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert answer.count(b"HTTP/1.") == 1


async def test_an_address_of_20000_bytes_is_refused(standing: Api) -> None:
    answer = await exchange(standing, b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.split()[1] in (b"400", b"414")
