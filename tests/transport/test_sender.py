"""What hostile, broken and slow receivers do, and what `Sender.post` makes of it.

Raw receivers on the loopback, one behaviour a case. Every case leaves no connection behind.
"""

# ruff: noqa: ASYNC109, S104  deadlines are what is tested, and so are odd addresses

import asyncio
import contextlib
import gzip
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dispatcher.core.model import Response, SendError
from dispatcher.transport import sender as send
from dispatcher.transport.addresses.egress import AddrInfo
from dispatcher.transport.addresses.resolver import Resolver, addr_info
from dispatcher.transport.exchanging import exchange
from dispatcher.transport.exchanging.answer_head import HEADERS_LIMIT_BYTES
from dispatcher.transport.post import Post
from dispatcher.transport.sender import Sender
from tests.certificates import ELSEWHERE, Authority, at_most
from tests.receivers import HANG, Answer, RawReceiver, Receiver, Script, read_request
from tests.transport.senders import LIMIT, new_sender
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("trusted_authority")

OK = b"HTTP/1.1 200 OK\r\n"
BODY = b'{"event":"user.created","data":{"id":"usr_1"}}'
HEADERS = {"Content-Type": "application/json", "X-Dispatcher-Event": "user.created"}
SLOW = 0.3
"""A deadline short enough to wait for."""
PATIENCE = 30.0
"""A deadline that no attempt meets, also on a machine that is busy with other work."""


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(scope="module", autouse=True)
async def _the_loop_has_what_it_needs() -> None:
    """Event loops open descriptors of their own with the first connection."""
    async with Receiver() as receiver, new_sender() as first:
        await first.post(Post(receiver.url, HEADERS, BODY, timeout=PATIENCE))


@pytest.fixture(autouse=True)
async def _nothing_is_left_behind() -> AsyncIterator[None]:
    before, complaints = open_descriptors(), []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    yield
    await until(lambda: open_descriptors() <= before, "no descriptor is left open")
    loop.set_exception_handler(None)
    assert complaints == []


async def posted(
    sender: Sender,
    script: Script,
    *,
    timeout: float = PATIENCE,
    body: bytes = BODY,
    ssl_context: ssl.SSLContext | None = None,
) -> Response | SendError:
    async with RawReceiver(script, ssl_context=ssl_context) as receiver:
        return await sender.post(Post(receiver.url, HEADERS, body, timeout=timeout))


async def posted_on_kept(
    sender: Sender, script: Script, *, timeout: float, body: bytes = BODY
) -> Response | SendError:
    """Post on a connection that an earlier request has left open, so that no time goes to dialling."""

    async def second(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK + b"Content-Length: 0\r\n\r\n")
        await script(reader, writer)

    async with RawReceiver(second) as receiver:
        first = await sender.post(Post(receiver.url, HEADERS, BODY, timeout=PATIENCE))
        assert isinstance(first, Response)
        result = await sender.post(Post(receiver.url, HEADERS, body, timeout=timeout))
        assert receiver.connections == 1
        return result


def says(*parts: bytes, stay: bool = False) -> Script:
    """Read a request, send the parts in segments of their own, and close, or stay silent."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for part in parts:
            writer.write(part)
            await writer.drain()
            if len(parts) > 1:
                await asyncio.sleep(0.02)  # so that the next one is another segment
        if stay:
            await asyncio.Event().wait()

    return script


def repeats(first: bytes, again: bytes, *, every: float = 0.0) -> Script:
    """Read a request, send `first`, then `again` and again until the connection is gone."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(first)
        while True:
            writer.write(again)
            await writer.drain()
            await asyncio.sleep(every)  # the pace is the subject

    return script


def abort(writer: asyncio.StreamWriter) -> None:
    """Close with RST."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


# ── answers ──────────────────────────────────────────────────────────────────────────────────────

STATUSES = [200, 201, 202, 203, 204, 205, 206, 226, 299, 300, 301, 302, 303, 304, 307, 308, 400]
STATUSES += [401, 403, 404, 405, 408, 410, 413, 422, 425, 429, 451, 500, 501, 502, 503, 504, 599]


@pytest.mark.parametrize("status", [99, *STATUSES, 600, 999])
async def test_the_status_line_alone_decides_the_outcome(sender: Sender, status: int) -> None:
    answer = await posted(
        sender, says(b"HTTP/1.1 %03d Whatever\r\nContent-Length: 0\r\n\r\n" % status)
    )
    assert isinstance(answer, Response)
    assert (answer.status, answer.body, answer.truncated) == (status, b"", False)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_is_not_followed(sender: Sender, status: int) -> None:
    async with Receiver() as elsewhere, Receiver() as receiver:
        receiver.otherwise = Answer(status, headers={"Location": elsewhere.url})
        answer = await sender.post(Post(receiver.url, HEADERS, BODY, timeout=PATIENCE))
        assert isinstance(answer, Response)
        assert answer.status == status
        assert ("Location", elsewhere.url) in answer.headers
        assert (len(receiver.requests), len(elsewhere.requests)) == (1, 0)


@pytest.mark.parametrize(
    ("answer", "headers"),
    [
        (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", {}),
        (b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", {}),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", {}),
        (
            b"HTTP/1.1 200 OK\r\nX-A: one\r\n two\r\nContent-Length: 2\r\n\r\nok",
            {"X-A": "one two"},
        ),
        (b"HTTP/1.1 200 OK\r\nX-A: caf\xe9\r\nContent-Length: 2\r\n\r\nok", {"X-A": "café"}),
        (b"HTTP/1.1 200 OK\r\n\r\nok", {}),
        (b"HTTP/1.0 200 OK\r\n\r\nok", {}),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n", {}),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", {}),
        (b"HTTP/1.1 103 Early\r\nX-B: c\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", {}),
    ],
    ids=["no-reason", "empty-reason", "lf-only", "obs-fold", "latin-1", "until-close", "http-1.0",
         "chunked", "100-continue", "103-early-hints"],
)  # fmt: skip
async def test_sloppy_but_plain_answers_are_understood(
    sender: Sender, answer: bytes, headers: dict[str, str]
) -> None:
    result = await posted(sender, says(answer))
    assert isinstance(result, Response)
    assert (result.status, result.body, result.truncated) == (200, b"ok", False)
    assert headers.items() <= dict(result.headers).items()


async def test_an_answer_before_the_body_was_read_counts(sender: Sender) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)  # so that the answer is read before the reset

    answer = await posted(sender, script, body=b"x" * 300_000)
    assert isinstance(answer, Response)
    assert answer.status == 413


async def test_switching_protocols_is_an_answer_and_ends_the_connection(sender: Sender) -> None:
    switched = b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
    async with RawReceiver(says(switched, stay=True)) as receiver:
        for connections in (1, 2):
            answer = await sender.post(Post(receiver.url, HEADERS, BODY, timeout=PATIENCE))
            assert isinstance(answer, Response)
            assert (answer.status, receiver.connections) == (101, connections)


# ── bodies ───────────────────────────────────────────────────────────────────────────────────────

NASTY = bytes(range(256)) + b"\x1b[31m<script>alert(1)</script>"


async def test_a_body_is_kept_as_the_bytes_that_came(sender: Sender) -> None:
    head = OK + b"Content-Type: text/html; charset=bogus\r\nContent-Length: %d\r\n\r\n" % len(NASTY)
    answer = await posted(sender, says(head + NASTY))
    assert isinstance(answer, Response)
    assert (answer.body, answer.truncated) == (NASTY, False)


@pytest.mark.parametrize("encoding", [b"gzip", b"br", b"zstd", b"deflate", b"gzip, gzip"])
async def test_a_compressed_bomb_is_kept_compressed(sender: Sender, encoding: bytes) -> None:
    bomb = gzip.compress(b"\0" * 8_000_000)[: LIMIT - 1]
    head = OK + b"Content-Encoding: %s\r\nContent-Length: %d\r\n\r\n" % (encoding, len(bomb))
    answer = await posted(sender, says(head + bomb))
    assert isinstance(answer, Response)
    assert (answer.body, answer.truncated) == (bomb, False)


@pytest.mark.parametrize(
    ("size", "kept", "truncated"),
    [(LIMIT - 1, LIMIT - 1, False), (LIMIT, LIMIT, False), (LIMIT + 1, LIMIT, True)],
)
@pytest.mark.parametrize("segments", [1, 2])
async def test_a_body_is_kept_up_to_the_limit(
    sender: Sender, size: int, kept: int, truncated: bool, segments: int
) -> None:
    head, body = OK + b"Content-Length: %d\r\n\r\n" % size, b"x" * size
    answer = await posted(sender, says(head + body) if segments == 1 else says(head, body))
    assert isinstance(answer, Response)
    assert (len(answer.body), answer.truncated) == (kept, truncated)


@pytest.mark.parametrize(
    "script",
    [
        repeats(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"400\r\n" + b"x" * 1024 + b"\r\n"),
        repeats(OK + b"\r\n", b"x" * 65536),
        repeats(OK + b"Content-Length: 1000000000000000000\r\n\r\n", b"x" * 65536),
    ],
    ids=["chunked", "until-close", "content-length"],
)
async def test_an_endless_body_is_cut_at_the_limit(sender: Sender, script: Script) -> None:
    answer = await posted(sender, script)
    assert isinstance(answer, Response)
    assert (answer.status, len(answer.body), answer.truncated) == (200, LIMIT, True)
    assert answer.duration < 20


@pytest.mark.parametrize(
    "script",
    [
        says(OK + b"Content-Length: 1000000000000000000\r\n\r\nab", stay=True),
        says(OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", stay=True),
        says(OK + b"\r\nab", stay=True),
        repeats(OK + b"Content-Length: 1000\r\n\r\n", b"ab", every=0.05),
    ],
    ids=["content-length", "chunked", "until-close", "drip"],
)
@pytest.mark.parametrize("bound", ["of the body", "of the attempt"])
async def test_a_body_without_end_is_abandoned_soon(
    sender: Sender, script: Script, bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if bound == "of the body":
        monkeypatch.setattr(exchange, "BODY_SECONDS", SLOW)
        deadlines = [PATIENCE]
    else:
        deadlines = [SLOW, SLOW * 10, PATIENCE]  # a longer one if the head was late
    answer: Response | SendError | None = None
    for deadline in deadlines:
        answer = await posted(sender, script, timeout=deadline)
        if isinstance(answer, Response):
            break
    assert isinstance(answer, Response)
    assert (answer.status, answer.body[:2], answer.truncated) == (200, b"ab", True)
    assert SLOW * 0.9 <= answer.duration < PATIENCE


@pytest.mark.parametrize(
    "parts",
    [
        (OK + b"Content-Length: 10\r\n\r\nab",),
        (OK + b"Content-Length: 10\r\n\r\n", b"ab"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", b"zz\r\n"),
    ],
    ids=["short", "short-later", "chunks-cut", "bad-chunk-later"],
)
async def test_a_body_that_breaks_off_does_not_change_the_verdict(
    sender: Sender, parts: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "BODY_SECONDS", SLOW)  # the client may not tell of a bad chunk
    answer = await posted(sender, says(*parts))
    assert isinstance(answer, Response)
    assert (answer.status, answer.body, answer.truncated) == (200, b"ab", True)


async def test_a_reset_within_the_body_does_not_change_the_verdict(sender: Sender) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK + b"Content-Length: 10\r\n\r\nab")
        await writer.drain()
        await asyncio.sleep(0.05)  # so that the head is read before the reset
        abort(writer)

    answer = await posted(sender, script)
    assert isinstance(answer, Response)
    assert (answer.status, answer.truncated) == (200, True)


async def test_bytes_after_a_complete_answer_change_neither_it_nor_the_next(sender: Sender) -> None:
    given_up = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK + b"Content-Length: 2\r\n\r\nok")
        await writer.drain()
        await asyncio.sleep(0.02)  # so that the answer is complete before these bytes
        writer.write(b"HTTP/1.1 500 no")
        writer.close()
        await reader.read()  # the client has seen the end, and closed its side
        given_up.set()

    async with RawReceiver(script) as receiver:
        for _ in range(2):
            answer = await sender.post(Post(receiver.url, HEADERS, BODY, timeout=PATIENCE))
            assert isinstance(answer, Response)
            assert (answer.status, answer.body) == (200, b"ok")
            await asyncio.wait_for(given_up.wait(), PATIENCE)
            given_up.clear()


async def test_the_bytes_of_kept_headers_are_limited(sender: Sender) -> None:
    headers = b"".join(b"X-%03d: %s\r\n" % (n, b"v" * 190) for n in range(100))
    answer = await posted(sender, says(OK + headers + b"Content-Length: 0\r\n\r\n"))
    assert isinstance(answer, Response)
    kept = sum(len(name) + len(value) for name, value in answer.headers)
    assert HEADERS_LIMIT_BYTES - 300 < kept <= HEADERS_LIMIT_BYTES


# ── no answer ────────────────────────────────────────────────────────────────────────────────────

GARBAGE = {
    "two-digit-status": b"HTTP/1.1 20 OK\r\n\r\n",
    "four-digit-status": b"HTTP/1.1 2000 OK\r\n\r\n",
    "no-status": b"HTTP/1.1 OK\r\n\r\n",
    "no-space": b"HTTP/1.1200 OK\r\n\r\n",
    "other-version": b"HTTP/0.9 200 OK\r\n\r\n",
    "rtsp": b"RTSP/1.0 200 OK\r\n\r\n",
    "icy": b"ICY 200 OK\r\n\r\n",
    "blank-line-first": b"\r\nHTTP/1.1 200 OK\r\n\r\n",
    "http-0.9": b"<html>hello</html>\r\n\r\n",
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
    "smtp": b"220 mail.example.com ESMTP\r\n",
    "http-2": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + b"\x00" * 18,
    "http-2-preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "tls-alert": b"\x15\x03\x01\x00\x02\x02\x46",
    "random": bytes(range(255, 0, -1)),
    "nothing-but-lines": b"\n" * 1000,
    "seventeen-interim-answers": b"HTTP/1.1 100 Continue\r\n\r\n" * 17 + OK + b"\r\n",
    "interim-head-of-100-kb": b"HTTP/1.1 103 Hints\r\nX-A: " + b"a" * 100_000 + b"\r\n\r\n" + OK,
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
async def test_an_answer_that_is_not_http_is_a_protocol_error_without_status(
    sender: Sender, garbage: bytes
) -> None:
    result = await posted(sender, says(garbage, stay=True))
    assert isinstance(result, SendError), result
    assert result.code == "protocol"
    assert result.reason.startswith("the answer is not HTTP: ")
    assert result.reason.isprintable()
    assert len(result.reason) < 300


async def test_endless_headers_behind_a_status_line_do_not_change_it(sender: Sender) -> None:
    result = await posted(sender, repeats(OK, b"X-A: b\r\n" * 100))
    assert isinstance(result, Response)
    assert (result.status, result.truncated) == (200, True)
    assert result.duration < exchange.BODY_SECONDS


async def test_a_receiver_that_does_not_read_runs_into_the_deadline(sender: Sender) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    result = await posted_on_kept(sender, script, timeout=SLOW, body=b"x" * 32 * 1024 * 1024)
    assert isinstance(result, SendError)
    assert (result.code, "(phase=send)" in result.reason) == ("timeout", True)


@pytest.mark.parametrize(
    "script",
    [
        says(stay=True),
        repeats(b"HTTP/1.1 200 O", b"O", every=0.05),
        repeats(b"", b"HTTP/1.1 100 Continue\r\n\r\n", every=SLOW / 5),
        says(b"HTTP/1.1 102 Processing\r\n\r\n", stay=True),
        says(b"HTTP/1.1 100 Continue\r\n\r\n", stay=True),
    ],
    ids=["silence", "drip-of-status", "100-now-and-then", "102-only", "100-only"],
)
async def test_a_missing_response_head_ends_at_the_deadline(sender: Sender, script: Script) -> None:
    result = await posted_on_kept(sender, script, timeout=SLOW)
    assert isinstance(result, SendError)
    assert (result.code, result.reason) == ("timeout", f"no answer within {SLOW} s (phase=head)")
    assert SLOW * 0.9 <= result.duration < PATIENCE


async def close_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def reset_after_the_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await read_request(reader)
    abort(writer)


@pytest.mark.parametrize(
    "script",
    [close_at_once, reset_after_the_request, says(), says(b"HTTP/1.1 200 O")],
    ids=["close-on-accept", "reset-after-request", "close-after-request", "close-within-status"],
)
async def test_a_connection_that_ends_without_an_answer_is_a_reset(
    sender: Sender, script: Script
) -> None:
    result = await posted(sender, script)
    assert isinstance(result, SendError)
    assert result.code == "reset"
    assert result.reason.endswith("whether the receiver acted on the request is unknown")


async def test_a_refused_connection_is_an_error_with_its_reason(sender: Sender) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    result = await sender.post(Post(f"http://127.0.0.1:{port}/", HEADERS, BODY, timeout=PATIENCE))
    assert isinstance(result, SendError)
    assert (result.code, result.reason) == ("connect", "no connection: Connection refused")


@pytest.mark.parametrize(
    ("connect_timeout", "timeout", "code"), [(0.2, PATIENCE, "connect"), (PATIENCE, 0.2, "timeout")]
)
async def test_connecting_ends_at_its_own_limit_or_at_the_deadline(
    connect_timeout: float, timeout: float, code: str
) -> None:
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        async with new_sender(connect_timeout=connect_timeout) as sender:
            url = f"http://127.0.0.1:{full.getsockname()[1]}/"
            result = await sender.post(Post(url, HEADERS, BODY, timeout=timeout))
    assert isinstance(result, SendError)
    assert (result.code, result.reason) == (code, "no connection within 0.2 s (phase=connect)")


# ── TLS ──────────────────────────────────────────────────────────────────────────────────────────


async def test_a_certificate_of_a_trusted_authority_for_the_host_is_accepted(
    authority: Authority, sender: Sender
) -> None:
    async with Receiver(ssl_context=authority.server()) as receiver:
        answers = [
            await sender.post(Post(receiver.url, HEADERS, BODY, timeout=PATIENCE)) for _ in range(2)
        ]
        assert [answer.status for answer in answers if isinstance(answer, Response)] == [200, 200]
        assert len({request.peer for request in receiver.requests}) == 1


@pytest.mark.parametrize(
    ("certificate", "reason"),
    [
        ({"to_day": -1, "from_day": -2}, "certificate has expired"),
        ({"from_day": 1, "to_day": 2}, "certificate is not yet valid"),
        ({"names": ELSEWHERE}, "IP address mismatch"),
        ({"names": None}, "IP address mismatch"),
        ({"self_signed": True}, "self-signed certificate"),
    ],
    ids=["expired", "not-yet-valid", "wrong-host", "no-alternative-name", "self-signed"],
)
async def test_an_untrusted_certificate_is_refused(
    authority: Authority, sender: Sender, certificate: dict[str, Any], reason: str
) -> None:
    async with Receiver(ssl_context=authority.server(**certificate)) as receiver:
        result = await sender.post(Post(receiver.url, HEADERS, BODY, timeout=PATIENCE))
        assert receiver.requests == []
    assert isinstance(result, SendError)
    assert (result.code, reason in result.reason) == ("tls", True)


async def test_an_unknown_authority_is_refused(sender: Sender, tmp_path: Path) -> None:
    async with Receiver(ssl_context=Authority(tmp_path).server()) as receiver:
        result = await sender.post(Post(receiver.url, HEADERS, BODY, timeout=PATIENCE))
    assert isinstance(result, SendError)
    assert result.code == "tls"
    assert result.reason.startswith("the certificate is not trusted: ")


async def test_a_receiver_with_only_old_tls_is_refused(
    authority: Authority, sender: Sender
) -> None:
    context = at_most(authority.server(), ssl.TLSVersion.TLSv1_1)
    result = await posted(sender, says(), ssl_context=context)
    assert isinstance(result, SendError)
    assert result.code == "tls"
    assert "TLS handshake" in result.reason


async def test_a_required_client_certificate_is_an_error_and_no_answer(
    authority: Authority, sender: Sender
) -> None:
    context = authority.server()
    context.verify_mode = ssl.CERT_REQUIRED
    result = await posted(sender, says(), ssl_context=context)
    assert isinstance(result, SendError)
    assert result.code in ("tls", "reset")


async def test_plain_http_on_the_tls_port_is_a_tls_error(sender: Sender) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with RawReceiver(script) as receiver:
        url = receiver.url.replace("http:", "https:")
        result = await sender.post(Post(url, HEADERS, BODY, timeout=PATIENCE))
    assert isinstance(result, SendError)
    assert (result.code, result.reason) == ("tls", "the TLS handshake failed: wrong version number")


@pytest.mark.parametrize(("connect_timeout", "timeout"), [(SLOW, 5.0), (5.0, SLOW)])
async def test_a_handshake_that_stalls_runs_into_a_deadline(
    connect_timeout: float, timeout: float
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with (
        new_sender(connect_timeout=connect_timeout) as sender,
        RawReceiver(script) as receiver,
    ):
        url = receiver.url.replace("http:", "https:")
        result = await sender.post(Post(url, HEADERS, BODY, timeout=timeout))
    assert isinstance(result, SendError)
    assert (result.code, "(phase=connect)" in result.reason) == ("timeout", True)
    assert result.duration < PATIENCE


# ── connections ──────────────────────────────────────────────────────────────────────────────────


async def test_a_complete_answer_leaves_its_connection_for_the_next_post(sender: Sender) -> None:
    async with Receiver() as receiver:
        for _ in range(3):
            receiver.answers = [Answer(500, body=b"x" * LIMIT)]
            assert isinstance(
                await sender.post(Post(receiver.url, HEADERS, BODY, timeout=PATIENCE)), Response
            )
        assert len({request.peer for request in receiver.requests}) == 1


async def test_an_answer_that_was_cut_gets_no_second_post(sender: Sender) -> None:
    async with Receiver(otherwise=Answer(body=b"x" * 1_000_000)) as receiver:
        for _ in range(2):
            answer = await sender.post(Post(receiver.url, HEADERS, BODY, timeout=PATIENCE))
            assert isinstance(answer, Response)
            assert answer.truncated
        assert len({request.peer for request in receiver.requests}) == 2


@pytest.mark.parametrize("end", ["close", "reset", "408"])
async def test_a_kept_connection_that_ends_without_an_answer_is_replaced_at_once(
    sender: Sender, end: str
) -> None:
    requests = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        for _ in range(2 if requests == 0 else 1):
            await read_request(reader)
            requests += 1
            if requests != 2:
                writer.write(OK + b"Content-Length: 0\r\n\r\n")
        if requests != 2:
            await reader.read()
        elif end == "reset":
            abort(writer)
        elif end == "408":
            writer.write(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n")

    async with RawReceiver(script) as receiver:
        first = await sender.post(Post(receiver.url, HEADERS, BODY, timeout=PATIENCE))
        second = await sender.post(Post(receiver.url, HEADERS, BODY, timeout=PATIENCE))
        assert isinstance(first, Response)
        assert isinstance(second, Response)
        assert (second.status, requests, receiver.connections) == (200, 3, 2)


async def test_a_connection_is_replaced_once_and_not_again(sender: Sender) -> None:
    requests = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await read_request(reader)
        requests += 1
        if requests == 1:
            writer.write(OK + b"Content-Length: 0\r\n\r\n")
            await read_request(reader)
            requests += 1

    async with RawReceiver(script) as receiver:
        assert isinstance(
            await sender.post(Post(receiver.url, HEADERS, BODY, timeout=PATIENCE)), Response
        )
        second = await sender.post(Post(receiver.url, HEADERS, BODY, timeout=PATIENCE))
        assert isinstance(second, SendError)
        assert (second.code, requests, receiver.connections) == ("reset", 3, 2)


async def test_a_kept_connection_that_ends_within_an_answer_is_not_replaced(sender: Sender) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK + b"Content-Length: 0\r\n\r\n")
        await read_request(reader)
        writer.write(b"HTTP/1")

    async with RawReceiver(script) as receiver:
        assert isinstance(
            await sender.post(Post(receiver.url, HEADERS, BODY, timeout=PATIENCE)), Response
        )
        second = await sender.post(Post(receiver.url, HEADERS, BODY, timeout=PATIENCE))
        assert isinstance(second, SendError)
        assert (second.code, receiver.connections) == ("reset", 1)


async def test_a_connection_closed_while_idle_is_not_used_again(sender: Sender) -> None:
    closed = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK + b"Content-Length: 0\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)  # so that the connection is idle
        writer.close()
        await reader.read()  # the client has seen the end, and closed its side
        closed.set()

    async with RawReceiver(script) as receiver:
        for connections in (1, 2):
            answer = await sender.post(Post(receiver.url, HEADERS, BODY, timeout=PATIENCE))
            assert isinstance(answer, Response)
            assert receiver.connections == connections
            await asyncio.wait_for(closed.wait(), PATIENCE)
            closed.clear()


async def test_hanging_receivers_hold_up_no_other(sender: Sender) -> None:
    async with Receiver(otherwise=HANG) as hanging, Receiver() as healthy:
        waiting = [
            asyncio.create_task(sender.post(Post(hanging.url, HEADERS, BODY, timeout=30)))
            for _ in range(150)
        ]
        await hanging.wait_for(150)
        answer = await sender.post(Post(healthy.url, HEADERS, BODY, timeout=PATIENCE))
        assert isinstance(answer, Response)
        assert answer.duration < 20
        for task in waiting:
            task.cancel()
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ended)


@pytest.mark.parametrize(
    "answer",
    [b"", OK + b"Content-Length: 10\r\n\r\nab"],
    ids=["before-the-head", "within-the-body"],
)
async def test_a_cancelled_post_closes_its_connection(sender: Sender, answer: bytes) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def watched(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)
        started.set()
        await reader.read()
        ended.set()

    async with RawReceiver(watched) as receiver:
        task = asyncio.create_task(sender.post(Post(receiver.url, HEADERS, BODY, timeout=30)))
        await started.wait()
        await asyncio.sleep(0.02)  # so that the client has read what was answered
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(ended.wait(), PATIENCE)


async def test_idle_connections_are_kept_to_so_many_receivers() -> None:
    open_now = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_now
        open_now += 1
        try:
            while True:
                await read_request(reader)
                writer.write(OK + b"Content-Length: 0\r\n")
                writer.write(b"\r\n")
        except asyncio.IncompleteReadError:
            open_now -= 1

    async with new_sender(concurrency=5) as sender:
        server = await asyncio.start_server(partial(_ran, script), "0.0.0.0", 0)
        port = server.sockets[0].getsockname()[1]
        for last in range(1, 41):
            answer = await sender.post(
                Post(f"http://127.0.7.{last}:{port}/", HEADERS, BODY, timeout=PATIENCE)
            )
            assert isinstance(answer, Response)
        await until(lambda: open_now == 5, "five connections are open")
        assert isinstance(
            await sender.post(Post(f"http://127.0.7.1:{port}/", HEADERS, BODY, timeout=PATIENCE)),
            Response,
        )
        await until(lambda: open_now == 5, "five connections are open")
        server.close()
    await until(lambda: open_now == 0, "no connection is open")


async def _ran(script: Script, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await script(reader, writer)
    finally:
        writer.close()


# ── requests ─────────────────────────────────────────────────────────────────────────────────────


async def test_the_request_has_the_given_parts_and_nothing_else(sender: Sender) -> None:
    async with Receiver() as receiver:
        await sender.post(Post(f"{receiver.url}hook?a=1&b=%0A", HEADERS, BODY, timeout=PATIENCE))
        (request,) = receiver.requests
        assert (request.method, request.path, request.body) == ("POST", "/hook?a=1&b=%0A", BODY)
        assert dict(request.headers) == {
            **HEADERS,
            "Host": f"127.0.0.1:{receiver.port}",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "User-Agent": "Dispatcher-Webhook/1.0",
            "Content-Length": str(len(BODY)),
        }


async def test_a_header_given_replaces_the_default(sender: Sender) -> None:
    async with Receiver() as receiver:
        await sender.post(
            Post(receiver.url, {"user-agent": "Paylent-Webhook/1.0"}, BODY, timeout=PATIENCE)
        )
        assert receiver.requests[0].headers.getall("User-Agent") == ["Paylent-Webhook/1.0"]


async def test_cookies_are_never_sent_back(sender: Sender) -> None:
    async with Receiver(otherwise=Answer(headers={"Set-Cookie": "a=b; Path=/"})) as receiver:
        for _ in range(2):
            answer = await sender.post(Post(receiver.url, HEADERS, BODY, timeout=PATIENCE))
            assert isinstance(answer, Response)
            assert ("Set-Cookie", "a=b; Path=/") in answer.headers
        assert all("Cookie" not in request.headers for request in receiver.requests)


async def test_the_environment_chooses_no_proxy(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Receiver() as proxy, Receiver() as receiver:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        await sender.post(Post(receiver.url, HEADERS, BODY, timeout=PATIENCE))
        assert (len(proxy.requests), len(receiver.requests)) == (0, 1)


@pytest.mark.parametrize("value", ["a\r\nX-Evil: b", "a\nb", "a\0b"])
async def test_a_header_that_cannot_be_written_is_refused_and_not_disclosed(
    sender: Sender, value: str
) -> None:
    async with Receiver() as receiver:
        result = await sender.post(
            Post(receiver.url, {"X-Secret": f"s3cret{value}"}, BODY, timeout=PATIENCE)
        )
        assert isinstance(result, SendError)
        assert (result.code, receiver.requests) == ("blocked", [])
        assert "s3cret" not in result.reason


async def test_a_large_body_is_sent_whole(sender: Sender) -> None:
    body = os.urandom(8 * 1024 * 1024)
    async with Receiver() as receiver:
        assert isinstance(
            await sender.post(Post(receiver.url, HEADERS, body, timeout=30)), Response
        )
        assert receiver.requests[0].body == body


async def test_a_closed_sender_raises_an_error() -> None:
    with pytest.raises(RuntimeError, match="not open"):
        await new_sender().post(Post("http://127.0.0.1/", HEADERS, BODY, timeout=1))


# ── names and addresses ──────────────────────────────────────────────────────────────────────────


def names(table: dict[str, list[str]]) -> Callable[..., list[Any]]:
    """A `getaddrinfo` that knows these absolute names only."""

    def getaddrinfo(host: str, *_: object, **__: object) -> list[Any]:
        if host not in table:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 0))
            for ip in table[host]
        ]

    return getaddrinfo


@pytest.fixture
def resolving(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, list[str]]], None]:
    """Make senders opened from now on resolve by a table."""

    def use(table: dict[str, list[str]]) -> None:
        monkeypatch.setattr(send, "Resolver", partial(Resolver, getaddrinfo=names(table)))

    return use


Resolving = Callable[[dict[str, list[str]]], None]


async def test_a_name_is_resolved_absolute_and_kept_in_the_host_header(
    resolving: Resolving,
) -> None:
    resolving({"hooks.example.com.": ["127.0.0.1"]})
    async with new_sender() as sender, Receiver() as receiver:
        url = f"http://hooks.example.com:{receiver.port}/"
        assert isinstance(await sender.post(Post(url, HEADERS, BODY, timeout=PATIENCE)), Response)
        assert receiver.requests[0].headers["Host"] == f"hooks.example.com:{receiver.port}"


@pytest.mark.parametrize(
    "addresses",
    [["10.0.0.1"], ["127.0.0.1", "10.0.0.1"], ["127.0.0.1", "::ffff:127.0.0.1"], ["127.0.0.1", "::1"],
     ["169.254.169.254"], ["0.0.0.0"], ["127.0.0.1"] * 9 + ["192.168.0.1"]],
)  # fmt: skip
async def test_an_answer_with_any_forbidden_address_is_refused_whole(
    resolving: Resolving, addresses: list[str]
) -> None:
    resolving({"hooks.example.com.": addresses})
    async with new_sender() as sender, Receiver() as receiver:
        url = f"http://hooks.example.com:{receiver.port}/"
        result = await sender.post(Post(url, HEADERS, BODY, timeout=PATIENCE))
        assert isinstance(result, SendError)
        assert (result.code, receiver.requests) == ("blocked", [])
        assert "is not a permitted destination" in result.reason


async def test_an_unknown_name_is_a_dns_error(resolving: Resolving) -> None:
    resolving({})
    async with new_sender() as sender:
        result = await sender.post(
            Post("https://hooks.example.com/", HEADERS, BODY, timeout=PATIENCE)
        )
    assert isinstance(result, SendError)
    assert result.code == "dns"
    assert result.reason == "hooks.example.com cannot be resolved: Name or service not known"


@pytest.mark.parametrize(
    "url",
    ["http://10.0.0.1/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://169.254.169.254/",
     "http://127.0.0.1:22/", "http://0x7f.1/", "ftp://127.0.0.1/", "http://a@127.0.0.1/", ""],
)  # fmt: skip
async def test_a_url_that_may_not_be_dialled_is_blocked(sender: Sender, url: str) -> None:
    result = await sender.post(Post(url, HEADERS, BODY, timeout=PATIENCE))
    assert isinstance(result, SendError)
    assert result.code == "blocked"


class Liar(Resolver):
    """Answers without asking the guard, as a rebinding name would if only the answer was vetted."""

    async def resolve(self, host: str, port: int, environment_id: str = "") -> list[AddrInfo]:
        return [addr_info(ip, port) for ip in ("127.0.0.1", "127.0.0.2", "::1")]


async def test_the_socket_is_checked_independently_of_the_resolver(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(send, "Resolver", Liar)
    async with new_sender("192.0.2.0/24") as sender, Receiver() as receiver:
        url = f"http://hooks.example.com:{receiver.port}/"
        result = await sender.post(Post(url, HEADERS, BODY, timeout=PATIENCE))
        assert isinstance(result, SendError)
        assert (result.code, receiver.requests) == ("blocked", [])
